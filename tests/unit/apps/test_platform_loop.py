"""A connection that is reset while a loop takes its socket over, with a real server that resets."""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Iterator

import pytest

from kubelambda.apps.platform_loop import PlatformLoop

RESET_AT_CLOSE = struct.pack("ii", 1, 0)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """One that listens."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


async def reset_connection(server: socket.socket) -> socket.socket:
    """A socket whose other side has just reset the connection."""
    found = socket.socket()
    found.setblocking(False)
    await asyncio.get_running_loop().sock_connect(found, server.getsockname())
    other, _ = server.accept()
    with other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    return found


@pytest.mark.parametrize("tls", [None, ssl.create_default_context()], ids=["clear", "tls"])
def test_a_socket_whose_connection_was_reset_closes_no_other_connection(
    server: socket.socket, tls: ssl.SSLContext | None
) -> None:
    """The number of its descriptor is given to the next one at once; the socket itself goes later."""

    async def lives_on() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(20):
            lost = await reset_connection(server)
            name = "localhost" if tls else None
            transport = None
            try:
                transport, _ = await loop.create_connection(asyncio.Protocol, sock=lost, ssl=tls, server_hostname=name)
            except ConnectionResetError:
                assert tls is not None
            assert transport is None or transport.is_closing()
            with socket.socket() as another:
                lost.close()
                os.fstat(another.fileno())

    with asyncio.Runner(loop_factory=PlatformLoop) as runner:
        runner.run(lives_on())


def test_a_connection_that_lives_keeps_its_socket(server: socket.socket) -> None:
    """Until it is closed."""

    async def echoes() -> bytes:
        loop = asyncio.get_running_loop()
        found = socket.create_connection(server.getsockname())
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.create_connection(lambda: protocol, sock=found)
        other, _ = server.accept()
        with other:
            other.sendall(b"hello")
        said = await reader.read()
        transport.close()
        return said

    with asyncio.Runner(loop_factory=PlatformLoop) as runner:
        assert runner.run(echoes()) == b"hello"
