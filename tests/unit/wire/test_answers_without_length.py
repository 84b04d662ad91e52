"""Answers that end with their connection, against real sockets: only who says so has ended one (RFC 9112 §8)."""

import asyncio
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import uvloop

from kubelambda.wire.client import connect
from kubelambda.wire.header_lines import request_head
from kubelambda.wire.session import Session

type End = Callable[[socket.socket], None]

HEAD = request_head("GET", "/", "localhost", {}, 0)
ANSWER = b"HTTP/1.1 200 OK\r\n\r\nall that comes"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost and its key."""
    found = tmp_path_factory.mktemp("tls") / "pair.pem"
    what = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2", "-nodes"]
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", str(found), "-out", f"{found}.crt"]
    subprocess.run(["openssl", "req", "-x509", *what, *made], check=True, capture_output=True)
    found.write_text(found.read_text() + Path(f"{found}.crt").read_text())
    return found


@contextmanager
def answering(end: End, certificate: Path | None = None) -> Iterator[int]:
    """The port of a server that answers one request without a length, and then does `end`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            if certificate is not None:
                tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                tls.load_cert_chain(certificate)
                connection = tls.wrap_socket(connection, server_side=True)
            with connection, suppress(OSError):
                connection.settimeout(60)
                asked = b""
                while not asked.endswith(b"\r\n\r\n"):
                    asked += connection.recv(4096)
                connection.sendall(ANSWER)
                end(connection)

        serving = threading.Thread(target=serve)
        serving.start()
        yield listening.getsockname()[1]
        serving.join(60)


def closed(connection: socket.socket) -> None:
    """As whoever has said everything does it; by TLS nobody has said so then."""
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(4096):
        pass


def said(connection: socket.socket) -> None:
    """With TLS's word for it."""
    assert isinstance(connection, ssl.SSLSocket)
    connection.unwrap().close()


def reset(connection: socket.socket) -> None:
    """The process is gone, or who stands in between thinks so."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.close(connection.detach())


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(
    ("end", "by_tls", "whole"),
    [(closed, False, True), (reset, False, False), (said, True, True), (closed, True, False), (reset, True, False)],
    ids=["closed", "reset", "tls-said", "tls-cut", "tls-reset"],
)
def test_an_answer_is_whole_only_if_the_other_side_has_ended_it(
    certificate: Path, end: End, make_loop: Callable[[], asyncio.AbstractEventLoop], *, by_tls: bool, whole: bool
) -> None:
    """Half an answer would pass for all of it, and nobody could tell."""
    tls = ssl.create_default_context(cafile=f"{certificate}.crt") if by_tls else None
    lost: list[bool] = []

    async def ask(port: int) -> bytes:
        connection = await connect("localhost" if by_tls else "127.0.0.1", port, lost.append, 60, tls=tls)
        return (await connection.call(HEAD, seconds=60))[2]

    with answering(end, certificate if by_tls else None) as port, asyncio.Runner(loop_factory=make_loop) as runner:
        if whole:
            assert runner.run(ask(port)) == b"all that comes"
        else:
            with pytest.raises(ConnectionError):
                runner.run(ask(port))
    assert lost == [not whole]


async def test_an_answer_that_we_end_ourselves_is_not_whole() -> None:
    """Its reader hears of it, who would take what is there for all of it."""
    left = threading.Event()

    def wait(_: socket.socket) -> None:
        left.wait(60)

    with answering(wait) as port:
        session = Session(f"http://127.0.0.1:{port}")
        async with session.read("/", {}, seconds=60) as answer:
            pieces = answer.pieces(60)
            assert await anext(pieces) == b"all that comes"
            await session.close()
            with pytest.raises(ConnectionError):
                await anext(pieces)
        left.set()
