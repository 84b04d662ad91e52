"""The HTTP server of frontend and agent, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from kubelambda.wire.flow import Headers
from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.request import Request
from kubelambda.wire.request_reader import Admission
from kubelambda.wire.server import Connection

type Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Server:
    """Keeps its requests; answers those to /now at once, and others when it is told to."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.arrived = asyncio.Event()

    def serve(self, request: Request) -> None:
        """Called for every request."""
        self.requests.append(request)
        self.arrived.set()
        if request.target == b"/now":
            request.respond(200, request.body)


@pytest.fixture
def server() -> Server:
    """The server that `client` talks to."""
    return Server()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    """A connection to the server, with bodies of at most 100 bytes."""
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: ServerProtocol(server.serve, max_body=100), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    yield reader, writer
    writer.close()
    listening.close()
    listening.close_clients()


async def answer(client: Client) -> tuple[int, bytes]:
    """Status and body of the next answer."""
    head = await client[0].readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    return int(head.split(b" ", 2)[1]), await client[0].readexactly(length)


async def test_a_request_may_come_in_pieces(client: Client, server: Server) -> None:
    """Byte by byte."""
    for byte in b"POST /now HTTP/1.1\r\nHost: x\r\nX-Name: value\r\nContent-Length: 4\r\n\r\nbody":
        client[1].write(bytes([byte]))
        await client[1].drain()
        await asyncio.sleep(0)
    assert await answer(client) == (200, b"body")
    assert server.requests[0].headers[b"x-name"] == b"value"


async def test_a_chunked_body_is_put_together(client: Client) -> None:
    """Clients that stream send their body so."""
    client[1].write(
        b"POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert await answer(client) == (200, b"abcde")


async def test_whoever_waits_for_it_is_told_to_continue(client: Client) -> None:
    """As curl does before a large body."""
    client[1].write(b"POST /now HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert await client[0].readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client[1].write(b"hi")
    assert await answer(client) == (200, b"hi")


async def test_answers_have_the_order_of_their_requests(client: Client, server: Server) -> None:
    """A second request waits, however quick its answer would be."""
    client[1].write(
        b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" + b"POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nsecond"
    )
    await server.arrived.wait()
    await asyncio.sleep(0.05)
    assert [request.target for request in server.requests] == [b"/slow"]
    server.requests[0].respond(200, b"first")
    assert [await answer(client), await answer(client)] == [(200, b"first"), (200, b"second")]


@pytest.fixture
async def gathering(server: Server) -> AsyncIterator[Client]:
    """A connection to a server that says "accepted" with its next answer."""
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: ServerProtocol(server.serve, max_body=100, gathers=True), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    yield reader, writer
    writer.close()
    listening.close()
    listening.close_clients()


RESULT = b"POST /result HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
QUESTION = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_that_something_was_accepted_goes_out_with_the_next_answer(gathering: Client, server: Server) -> None:
    """Where the client has sent its next request already."""
    gathering[1].write(RESULT + QUESTION)
    await server.arrived.wait()
    server.requests[0].respond(202, b"accepted")
    await asyncio.sleep(0.05)
    assert server.requests[1].target == b"/next"
    assert not gathering[0]._buffer  # type: ignore[attr-defined]
    server.requests[1].respond(200, b"event")
    assert [await answer(gathering), await answer(gathering)] == [(202, b"accepted"), (200, b"event")]


CHUNKED_RESULT = b"POST /result HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"


@pytest.mark.parametrize(("result", "rest"), [(RESULT, 1), *((CHUNKED_RESULT, rest) for rest in (1, 2, 3, 4, 5, 7, 9))])
async def test_a_body_may_break_off_before_what_is_sent_behind_it(
    gathering: Client, server: Server, result: bytes, rest: int
) -> None:
    """Some of it came with its head, and the end of it comes with the next request: neither is taken for the other."""
    gathering[1].write(result[:-rest])
    await asyncio.sleep(0.05)
    gathering[1].write(result[-rest:] + QUESTION)
    await server.arrived.wait()
    assert (server.requests[0].target, server.requests[0].body) == (b"/result", b"hi")
    server.requests[0].respond(202, b"accepted")
    assert (server.requests[1].target, server.requests[1].body) == (b"/next", b"")
    server.requests[1].respond(200, b"event")
    assert [await answer(gathering), await answer(gathering)] == [(202, b"accepted"), (200, b"event")]


@pytest.mark.parametrize("behind", [b"", b"\r\n", b"\r\n\r\n", QUESTION[:-2]])
async def test_who_has_not_asked_for_more_hears_at_once_that_something_was_accepted(
    gathering: Client, server: Server, behind: bytes
) -> None:
    """Some clients send a line end behind a body, and half a question has no answer."""
    gathering[1].write(RESULT + behind)
    await server.arrived.wait()
    server.requests[0].respond(202, b"accepted")
    assert await answer(gathering) == (202, b"accepted")


@pytest.mark.parametrize("status", [200, 400, 413])
async def test_anything_else_than_that_something_was_accepted_is_said_at_once(
    gathering: Client, server: Server, status: int
) -> None:
    """Whoever is refused may not want the next answer any more."""
    gathering[1].write(RESULT + QUESTION)
    await server.arrived.wait()
    server.requests[0].respond(status, b"said")
    assert await answer(gathering) == (status, b"said")


async def test_what_is_sent_ahead_waits_unread(client: Client, server: Server) -> None:
    """However much it is: one read of it is kept."""
    ahead = b"POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + bytes(100)
    client[1].write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    await server.arrived.wait()
    count = 20_000
    client[1].write(ahead * count)
    await asyncio.sleep(0.2)
    connection = cast("Connection", server.requests[0].connection)
    assert len(connection._pending) <= 1 << 18
    assert len(server.requests) == 1
    server.requests[0].respond(200, b"first")
    async with asyncio.timeout(60):
        assert await answer(client) == (200, b"first")
        for _ in range(count):
            assert await answer(client) == (200, bytes(100))
    assert len(server.requests) == count + 1


async def test_a_body_over_the_limit_is_counted_and_not_kept(client: Client, server: Server) -> None:
    """So that its length can be told."""
    client[1].write(b"POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000))
    await answer(client)
    assert server.requests[0].size == 100_000
    assert len(server.requests[0].body) <= 100


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 1_048_576,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Name: value\r\n" * (1_048_576 // len("x-namevalue") + 2),
    ],
    ids=["path", "headers"],
)
async def test_a_head_over_a_megabyte_is_refused(client: Client, server: Server, head: bytes) -> None:
    """As soon as it is that long (§2.1.3)."""
    client[1].write(head)
    status, _ = await answer(client)
    assert (status, await client[0].read(), server.requests) == (431, b"", [])


@pytest.mark.parametrize(("count", "expected"), [(8_000, 200), (30_000, 431)])
async def test_many_small_headers_count_more_than_their_bytes(client: Client, count: int, expected: int) -> None:
    """As the memory that they take does: the larger head here has 0.4 MB."""
    client[1].write(b"GET /now HTTP/1.1\r\nHost: x\r\n" + b"".join(b"a%d: b\r\n" % n for n in range(count)) + b"\r\n")
    assert (await answer(client))[0] == expected


async def test_trailers_have_a_bound(client: Client, server: Server) -> None:
    """Whoever has let a body pass keeps no endless fields behind it."""
    client[1].write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    client[1].write(b"".join(b"a%d: b\r\n" % n for n in range(100_000)))
    assert ((await answer(client))[0], server.requests) == (431, [])


async def test_what_is_no_http_is_refused(client: Client) -> None:
    """And the connection ends."""
    client[1].write(b"\x16\x03\x01 this is TLS\r\n\r\n")
    assert (await answer(client))[0] == 400
    assert await client[0].read() == b""


async def test_nonsense_after_a_request_is_not_taken_for_its_answer(client: Client, server: Server) -> None:
    """The request is answered first."""
    client[1].write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    await server.arrived.wait()
    client[1].write(b"nonsense\r\n\r\n")
    await asyncio.sleep(0.05)
    server.requests[0].respond(200, b"first")
    assert await answer(client) == (200, b"first")
    assert (await answer(client))[0] == 400
    assert await client[0].read() == b""


async def test_a_caller_that_is_gone_gets_nothing(client: Client, server: Server) -> None:
    """Answering it does no harm."""
    client[1].write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    await server.arrived.wait()
    client[1].close()
    for _ in range(1000):
        if not server.requests[0].alive:
            break
        await asyncio.sleep(0.02)
    assert not server.requests[0].alive
    server.requests[0].respond(200, b"too late")


class Refusing:
    """A sink of a body that is refused for its last byte."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.over: list[str] = []

    def data(self, data: bytes) -> None:
        """Called by the connection."""
        if data.endswith(b"!"):
            self.request.respond(507, b"full")

    def end(self, trailers: Headers) -> None:
        """Called by the connection."""
        self.over.append("end")

    def abort(self, why: str) -> None:
        """Called by the connection."""
        self.over.append("abort")


async def test_who_takes_a_body_and_refuses_its_last_byte_gets_nothing_of_the_next_request(server: Server) -> None:
    """Which is served: the sink of the first would have taken its end."""
    sinks: list[Refusing] = []

    def admit(request: Request) -> Admission:
        if request.method == b"PUT":
            sinks.append(Refusing(request))
            return sinks[-1]
        return 100

    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: ServerProtocol(server.serve, max_body=0, admit=admit), "127.0.0.1", 0)
    client = await asyncio.open_connection(*listening.sockets[0].getsockname())
    client[1].write(b"PUT /file HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nall")
    await asyncio.sleep(0.05)
    client[1].write(b"!")
    assert await answer(client) == (507, b"full")
    client[1].write(b"POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
    async with asyncio.timeout(60):
        assert await answer(client) == (200, b"body")
    assert sinks[0].over == ["abort"]
    client[1].close()
    listening.close()
    listening.close_clients()
