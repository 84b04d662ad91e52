"""Closed-loop load: wrk for throughput and percentiles, plain sockets where every single request counts."""

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

BODY = '{"name": "you"}'
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Measured:
    """What wrk saw. Times in milliseconds."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    rps: float
    errors: int


def median(runs: Sequence[Measured]) -> Measured:
    """The run whose median latency is the median of them all."""
    return sorted(runs, key=lambda run: run.p50_ms)[len(runs) // 2]


def require_wrk() -> None:
    """Installs wrk where it is missing and may be installed."""
    if shutil.which("wrk"):
        return
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        subprocess.run(["apt-get", "install", "--yes", "-qq", "wrk"], check=True, capture_output=True)
    if not shutil.which("wrk"):
        sys.exit("bench: wrk is needed: install it with your package manager (Debian: apt-get install wrk)")


def wrk(address: tuple[str, int], path: str, *, connections: int, seconds: int) -> Measured:
    """POSTs to `path` from `connections` connections for `seconds`."""
    script = f'wrk.method = "POST"\nwrk.body = [[{BODY}]]\nwrk.headers["Content-Type"] = "application/json"\n'
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--latency"]
        url = f"http://{address[0]}:{address[1]}{path}"
        printed = subprocess.run(
            [*command, "--script", file.name, url], capture_output=True, text=True, check=True
        ).stdout
    return parse_wrk(printed)


def parse_wrk(printed: str) -> Measured:
    """The figures out of wrk's report."""

    def milliseconds(pattern: str) -> float:
        match = re.search(pattern, printed)
        if not match:
            raise RuntimeError(f"wrk printed no {pattern!r}:\n{printed}")
        return float(match[1]) * _UNITS[match[2]]

    number = r"([\d.]+)(us|ms|s)"
    latency = re.search(rf"Latency\s+{number}\s+{number}\s+{number}", printed)
    rps = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    errors = sum(int(count) for count in re.findall(r"(?:connect|read|write|timeout) (\d+)", printed))
    non_2xx = re.search(r"Non-2xx or 3xx responses: (\d+)", printed)
    return Measured(
        p50_ms=milliseconds(rf"50%\s+{number}"),
        p99_ms=milliseconds(rf"99%\s+{number}"),
        max_ms=float(latency[5]) * _UNITS[latency[6]] if latency else 0.0,
        rps=float(rps[1]) if rps else 0.0,
        errors=errors + (int(non_2xx[1]) if non_2xx else 0),
    )


class Connection:
    """One keep-alive connection that sends a request and waits for its answer."""

    def __init__(self, address: tuple[str, int], path: str) -> None:
        self._socket = socket.create_connection(address, timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}"
        self._request = f"{head}\r\n\r\n{BODY}".encode()

    def call(self) -> tuple[int, bool, float]:
        """Status, whether the function failed, and milliseconds."""
        started = time.perf_counter()
        self._socket.sendall(self._request)
        head, _, rest = self._read_until(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        missing = (int(length[1]) if length else 0) - len(rest)
        while missing > 0:
            missing -= len(self._receive())
        elapsed = (time.perf_counter() - started) * 1000
        return int(head.split(b" ", 2)[1]), b"x-amz-function-error" in head.lower(), elapsed

    def _read_until(self, mark: bytes) -> tuple[bytes, bytes, bytes]:
        received = b""
        while mark not in received:
            received += self._receive()
        return received.partition(mark)

    def _receive(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the frontend closed the connection without an answer")
        return data

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()


def one(address: tuple[str, int], path: str) -> float:
    """Milliseconds of one successful request on a new connection that was made before the clock started."""
    connection = Connection(address, path)
    status, failed, elapsed = connection.call()
    connection.close()
    if status != 200 or failed:
        raise RuntimeError(f"the invocation answered {status}, function error: {failed}")
    return elapsed


@dataclass(frozen=True)
class Burst:
    """A burst's slowest request, its errors, and when its requests became quick again. Milliseconds, seconds."""

    max_ms: float
    errors: int
    requests: int
    calm_s: float


def burst(address: tuple[str, int], path: str, *, connections: int, seconds: float, quick_ms: float = 100) -> Burst:
    """All connections start at once and go on in a closed loop; calm is when the last slow request ended."""
    started = time.perf_counter()
    seen: list[tuple[float, float]] = []
    errors = []

    def call() -> None:
        connection = Connection(address, path)
        while time.perf_counter() - started < seconds:
            status, failed, elapsed = connection.call()
            seen.append((time.perf_counter() - started, elapsed))
            if status != 200 or failed:
                errors.append(status)
        connection.close()

    threads = [threading.Thread(target=call) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    slow = [ended for ended, elapsed in seen if elapsed > quick_ms]
    return Burst(max(elapsed for _, elapsed in seen), len(errors), len(seen), max(slow, default=0.0))
