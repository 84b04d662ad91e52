"""Idle connections are used again while they are young, and closed when nobody uses them."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from kubelambda.wire.client import request_head
from kubelambda.wire.connections import Bounds, Connections
from kubelambda.wire.kept_connections import Address, KeptConnections
from kubelambda.wire.protocol import ServerProtocol

GET = request_head("GET", "/", "x", {}, 0)


class Far:
    """A server that answers all requests, and its connections."""

    def __init__(self, address: Address, connections: Connections) -> None:
        self.address = address
        self.connections = connections


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    """On loopback."""
    loop = asyncio.get_running_loop()
    connections = Connections(Bounds(), loop.call_later)
    server = await loop.create_server(
        lambda: ServerProtocol(lambda request: request.respond(200), max_body=0, connections=connections),
        "127.0.0.1",
        0,
    )
    yield Far(("127.0.0.1", server.sockets[0].getsockname()[1]), connections)
    server.close()
    for connection in connections:
        connection.close()
    await asyncio.sleep(0.02)


async def eventually(holds: Callable[[], bool]) -> None:
    """Returns once it `holds`."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came true")


async def test_the_connection_that_was_used_last_is_used_next(far: Far) -> None:
    """So that those that a burst made grow old."""
    kept = KeptConnections(idle_s=60, connect_s=5)
    assert kept.take(far.address) is None
    first, second = [await kept.connect(far.address) for _ in range(2)]
    kept.keep(far.address, first)
    kept.keep(far.address, second)
    assert kept.take(("127.0.0.1", 1)) is None
    assert (kept.take(far.address), kept.take(far.address), kept.take(far.address)) == (second, first, None)
    for connection in (first, second):
        assert (await connection.call(GET))[0] == 200
        kept.keep(far.address, connection)
    kept.close()
    assert not len(kept)
    await eventually(lambda: not len(far.connections))


async def test_what_nobody_uses_is_closed_without_being_asked_for(far: Far) -> None:
    """A frontend that is gone for good leaves nothing behind."""
    kept = KeptConnections(idle_s=0.2, connect_s=5)
    kept.keep(far.address, await kept.connect(far.address))
    await eventually(lambda: not len(kept) and not len(far.connections))
    kept.keep(far.address, await kept.connect(far.address))  # and it looks again
    await eventually(lambda: not len(kept) and not len(far.connections))


async def test_a_connection_that_cannot_be_used_is_not_kept(far: Far) -> None:
    """One that is closed, one that waits for an answer, and one too many."""
    kept = KeptConnections(idle_s=60, connect_s=5, most=1)
    closed, busy, third, fourth = [await kept.connect(far.address) for _ in range(4)]
    closed.close()
    kept.keep(far.address, closed)
    call = asyncio.ensure_future(busy.call(GET))
    await asyncio.sleep(0)
    kept.keep(far.address, busy)
    assert not len(kept)
    assert (await call)[0] == 200
    kept.keep(far.address, third)
    kept.keep(far.address, fourth)
    assert len(kept) == 1
    assert not fourth.open
    for connection in far.connections:
        connection.close()
    await eventually(lambda: not third.open)
    assert kept.take(far.address) is None
    busy.close()


async def test_a_call_outlives_the_end_of_the_connection_that_was_kept_for_it(far: Far) -> None:
    """It is asked again over a new one, which is kept."""
    kept = KeptConnections(idle_s=60, connect_s=5)
    assert (await kept.call(far.address, GET, b"", seconds=5))[0] == 200
    for connection in list(far.connections):
        connection.close()
    assert (await kept.call(far.address, GET, b"", seconds=5))[0] == 200
    assert len(kept) == 1
    kept.close()
