"""What a frontend's connections hold when clients are hostile: bounded, whatever they send or do not read."""

import contextlib
import itertools
import socket
import string
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SERVER = Path(__file__).parent / "attacked_server.py"
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Attacked:
    """A server process under attack."""

    pid: int
    port: int

    @property
    def resident_mb(self) -> float:
        """Memory that is resident now."""
        return self._status_mb("VmRSS:")

    @property
    def peak_mb(self) -> float:
        """The most that ever was: what a limit is held against."""
        return self._status_mb("VmHWM:")

    def _status_mb(self, field: str) -> float:
        for line in Path("/proc", str(self.pid), "status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
        raise AssertionError("the server ended")

    def connect(self, receive_bytes: int | None = None) -> socket.socket:
        """A connection that does not wait for ever."""
        found = socket.socket()
        if receive_bytes:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        found.settimeout(5)
        found.connect(("127.0.0.1", self.port))
        return found

    def answers(self) -> bool:
        """Whether it still serves others."""
        with self.connect() as found:
            found.settimeout(60)
            found.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return found.recv(1000).startswith(b"HTTP/1.1 200")


@contextlib.contextmanager
def attacked(head_s: float = 30) -> Iterator[Attacked]:
    """A new process, so that one attack does not hide behind what another has left."""
    process = subprocess.Popen([sys.executable, str(SERVER), str(head_s)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Attacked(process.pid, int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def pour(found: socket.socket, data: bytes, times: int = 1) -> None:
    """Sends as long as the other side takes it."""
    with contextlib.suppress(OSError):
        for _ in range(times):
            found.sendall(data)


def one_header(server: Attacked) -> list[socket.socket]:
    """A value that does not end."""
    found = server.connect()
    found.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
    pour(found, b"a" * MEGABYTE, 100)
    return [found]


def one_header_name(server: Attacked) -> list[socket.socket]:
    """A name that does not end."""
    found = server.connect()
    found.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    pour(found, b"a" * MEGABYTE, 60)
    return [found]


def many_headers(server: Attacked) -> list[socket.socket]:
    """As many as fit into a megabyte."""
    names = itertools.islice(itertools.product(string.ascii_lowercase, repeat=4), 250_000)
    found = server.connect()
    pour(found, b"GET /never HTTP/1.1\r\nHost: x\r\n" + b"".join("".join(name).encode() + b":\r\n" for name in names))
    return [found]


def one_trailer(server: Attacked) -> list[socket.socket]:
    """After the body, where nobody expects it."""
    found = server.connect()
    found.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: ")
    pour(found, b"a" * MEGABYTE, 60)
    return [found]


def tiny_chunks(server: Attacked) -> list[socket.socket]:
    """Six megabytes, two bytes at a time."""
    connections = []
    for _ in range(3):
        found = server.connect()
        connections.append(found)
        found.sendall(b"POST /never HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        pour(found, b"2\r\nxx\r\n" * 50_000, 62)
    return connections


def unread_answers(server: Attacked) -> list[socket.socket]:
    """Small requests, large answers, and nobody who reads them."""
    found = server.connect(4096)
    pour(found, b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n", 60)
    return [found]


def sent_ahead(server: Attacked) -> list[socket.socket]:
    """Large requests behind one that is never answered."""
    found = server.connect()
    found.sendall(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
    pour(found, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6000000\r\n\r\n" + bytes(6_000_000), 16)
    return [found]


def idle_after_large_bodies(server: Attacked) -> list[socket.socket]:
    """Fifty clients that once sent six megabytes each, and keep their connections."""
    connections = []
    body = bytes(6_000_000)
    for _ in range(50):
        found = server.connect()
        connections.append(found)
        found.settimeout(60)
        found.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6000000\r\n\r\n")
        found.sendall(body)
        assert found.recv(1000).startswith(b"HTTP/1.1 200")
    return connections


def many(server: Attacked, count: int, data: bytes) -> list[socket.socket]:
    """So many connections, each of which has sent the same."""
    connections = []
    for _ in range(count):
        found = server.connect()
        connections.append(found)
        pour(found, data)
    return connections


def unfinished_bodies(server: Attacked) -> list[socket.socket]:
    """A hundred bodies of six megabytes without their last byte: more than there is room for."""
    return many(server, 100, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6000000\r\n\r\n" + bytes(5_999_999))


def unfinished_heads(server: Attacked) -> list[socket.socket]:
    """Heads of nearly a megabyte without their end: as many as would take three times the room there is."""
    return many(server, 500, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000)


def waiting_heads(server: Attacked) -> list[socket.socket]:
    """Requests with as large a head, each of which waits for its answer."""
    return many(server, 500, b"GET /never HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n")


@pytest.mark.parametrize(
    ("attack", "most_mb"),
    [
        (one_header, 12),
        (one_header_name, 12),
        (many_headers, 20),
        (one_trailer, 12),
        (tiny_chunks, 60),
        (unread_answers, 30),
        (sent_ahead, 15),
        (idle_after_large_bodies, 40),
        (unfinished_bodies, 260),
        (unfinished_heads, 260),
        (waiting_heads, 260),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_memory_stays_bounded(attack: Callable[[Attacked], list[socket.socket]], most_mb: float) -> None:
    """And others are served."""
    with attacked() as server:
        assert server.answers()
        before = server.resident_mb
        connections = attack(server)
        time.sleep(0.5)
        assert server.answers()  # after all that was sent before
        grown = server.peak_mb - before
        print(f"{getattr(attack, '__name__', '')}: {grown:.1f} MB")
        for found in connections:
            found.close()
        assert grown < most_mb


def test_half_a_request_does_not_stay(tmp_path: Path) -> None:
    """A thousand connections with half a head are small, and end at their deadline."""
    with attacked(head_s=8) as server:
        assert server.answers()
        before = server.resident_mb
        connections = [server.connect() for _ in range(1000)]
        for found in connections:
            found.sendall(b"GET / HTTP/1.1\r\n")
        time.sleep(0.5)
        print(f"half-open: {(server.resident_mb - before) * 1024 / 1000:.1f} KB each")
        assert server.resident_mb - before < 30
        for found in connections:
            found.settimeout(90)
            assert found.recv(1000).startswith(b"HTTP/1.1 408 ")
            assert found.recv(1000) == b""
            found.close()
