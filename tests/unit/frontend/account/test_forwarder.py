"""Connections to the other frontends are kept while they are used, and never so long that the other side ends them."""

import asyncio
from collections.abc import Callable

import pytest

from kubelambda.frontend.account import forwarder
from kubelambda.frontend.account.forwarder import Forward, Forwarder
from kubelambda.wire.client import connect, request_head
from kubelambda.wire.connections import Bounds, Connections
from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.request import Request

KEY = b"k" * 32


async def listening(serve: Callable[[Request], None]) -> tuple[asyncio.Server, int, Connections]:
    """A server on loopback, its port, and its connections."""
    loop = asyncio.get_running_loop()
    connections = Connections(Bounds(), loop.call_later)
    server = await loop.create_server(
        lambda: ServerProtocol(serve, max_body=1000, connections=connections), "127.0.0.1", 0
    )
    return server, server.sockets[0].getsockname()[1], connections


@pytest.mark.parametrize(("idle_seconds", "made"), [(60.0, 1), (0.0, 3)])
async def test_a_connection_that_was_idle_for_long_is_not_used_again(
    idle_seconds: float, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three requests one after the other: over one connection, or over one each."""
    monkeypatch.setattr(forwarder, "_CONNECT_S", 60.0)  # who stands still meanwhile would find nobody there
    callers: set[int] = set()

    def own(request: Request) -> None:
        callers.add(id(request.connection))
        kept.append(request.connection)
        request.respond(200, b"done")

    kept: list[object] = []  # so that no two connections get the same id
    owner, port, _ = await listening(own)
    forwarding = Forwarder(port, KEY, lambda _: None, idle_seconds=idle_seconds)

    def pass_on(request: Request) -> None:
        forwarding.forward(
            Forward(
                request,
                "id-1",
                owner="127.0.0.1",
                hops=1,
                without=[],
                seconds=10.0,
                fail=lambda why: request.respond(500, why.encode()),
                unreached=lambda why: request.respond(500, why.encode()),
            )
        )

    front, front_port, _ = await listening(pass_on)
    client = await connect("127.0.0.1", front_port, lambda _: None)
    for _ in range(3):
        status, _, body = await client.call(request_head("POST", "/", "front", {}, 0), seconds=10)
        assert (status, body) == (200, b"done")
    assert len(callers) == made
    client.close()
    forwarding.close()
    for server in (owner, front):
        server.close()
