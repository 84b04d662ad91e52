"""The client's connections against real sockets that answer well, badly, or not at all."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from kubelambda.wire.client import ClientConnection, connect
from kubelambda.wire.flow import Headers
from kubelambda.wire.header_lines import request_head

HEAD = request_head("POST", "/", "x", {}, 0)


class Peer:
    """A server that answers every head with the bytes that it was given, and closes where they say so."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        answer = b""
        while not answer.endswith(b"CLOSE"):
            try:
                await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            answer = self.answers.pop(0)
            writer.write(answer.removesuffix(b"CLOSE"))
        writer.close()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """The other side."""
    found = Peer()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()
    server.close_clients()


@pytest.fixture
def lost() -> list[bool]:
    """What `on_lost` said."""
    return []


@pytest.fixture
async def client(peer: Peer, lost: list[bool]) -> AsyncIterator[ClientConnection]:
    """A connection to the other side."""
    found = await connect("127.0.0.1", peer.port, lost.append)
    yield found
    found.abort()
    await asyncio.sleep(0)


async def test_interim_responses_are_not_the_answer(peer: Peer, client: ClientConnection) -> None:
    """100 and 103 come before it, in one piece with it or not (RFC 9110 §15.2)."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    peer.answers = [interim + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"] * 2
    for _ in range(2):
        status, headers, body = await client.call(HEAD, seconds=10)
        assert (status, headers, body) == (200, {b"content-length": b"2"}, b"hi")


async def test_an_answer_without_length_ends_with_its_connection(
    peer: Peer, client: ClientConnection, lost: list[bool]
) -> None:
    """RFC 9112 §6.3: and none was in flight then."""
    peer.answers = [b"HTTP/1.1 200 OK\r\n\r\nall that comesCLOSE"]
    assert (await client.call(HEAD, seconds=10))[2] == b"all that comes"
    assert lost == [False]


@pytest.mark.parametrize(
    "answer",
    [
        b"CLOSE",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhiCLOSE",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nCLOSE",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1_200_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 8_000_000,
        b"nonsense\r\n\r\n",
    ],
    ids=["nothing", "short", "cut", "101", "lengths", "head", "too-long", "nonsense"],
)
async def test_what_is_no_whole_answer_is_a_lost_connection(
    peer: Peer, client: ClientConnection, lost: list[bool], answer: bytes
) -> None:
    """And never half an answer."""
    peer.answers = [answer]
    with pytest.raises(ConnectionError):
        await client.call(HEAD, seconds=10)
    assert lost == [True]
    assert not client.open


def test_trailers_that_come_at_once_have_a_bound() -> None:
    """A read of the event loop's is large enough for more fields than a head may have."""
    ended: list[bool] = []

    class Wire:
        """Of a connection to nobody."""

        def write(self, data: bytes) -> None:
            """Called by the connection."""

        def is_closing(self) -> bool:
            """Called by the connection."""
            return False

        def abort(self) -> None:
            """Called by the connection."""
            ended.append(True)

    answers: list[int] = []
    client = ClientConnection(lambda _: None)
    client.connection_made(cast("asyncio.BaseTransport", Wire()))
    client.send(HEAD, b"", lambda status, _, __: answers.append(status))
    client.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    client.data_received(b"0\r\n" + b"".join(b"a%d:\r\n" % number for number in range(30_000)) + b"\r\n")
    assert (answers, ended) == ([], [True])


async def test_trailers_without_an_end_are_a_lost_connection(
    peer: Peer, client: ClientConnection, lost: list[bool]
) -> None:
    """Their bytes are bounded as those of a head: in many fields, or in the value of one."""
    begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: "
    peer.answers = [begun + b"a" * 3_000_000 + b"CLOSE"]
    with pytest.raises(ConnectionError):
        await client.call(HEAD, seconds=10)
    assert lost == [True]


async def test_an_answer_to_head_has_no_body(peer: Peer, client: ClientConnection) -> None:
    """Whatever length it names; and the next answer is read."""
    peer.answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    ]
    assert (await client.call(request_head("HEAD", "/", "x", {}, 0), seconds=10))[2] == b""
    assert (await client.call(HEAD, seconds=10))[2] == b"hi"


async def test_a_server_that_closes_gets_no_other_request(peer: Peer, client: ClientConnection) -> None:
    """It said so in its answer."""
    peer.answers = [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"]
    assert (await client.call(HEAD, seconds=10))[2] == b"hi"
    assert not client.open


async def test_an_answer_that_nobody_asked_for_is_never_taken_for_the_next(
    peer: Peer, client: ClientConnection
) -> None:
    """The first is good; after the second, the connection is not."""
    peer.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"]
    assert (await client.call(HEAD, seconds=10))[2] == b"hi"
    assert not client.open


async def test_a_call_that_takes_too_long_ends_its_connection(peer: Peer, client: ClientConnection) -> None:
    """Its answer must not be taken for that to another call."""
    peer.answers = [b""]
    with pytest.raises(TimeoutError):
        await client.call(HEAD, seconds=0.05)
    assert not client.open


async def test_a_callback_that_fails_is_a_lost_connection(
    peer: Peer, client: ClientConnection, lost: list[bool]
) -> None:
    """Whoever waits for the answer hears that there is none, and the fault is reported."""
    peer.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"]
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def fail(status: int, headers: Headers, body: bytes) -> None:
        raise RuntimeError("a fault of ours")

    ended = asyncio.Event()

    def end(in_flight: bool) -> None:
        lost.append(in_flight)
        ended.set()

    client.on_lost = end
    client.send(HEAD, b"", fail)
    async with asyncio.timeout(10):
        await ended.wait()
    assert lost == [True]
    assert "a fault of ours" in str(reported[0]["exception"])


async def test_nothing_of_an_answer_is_kept(peer: Peer, client: ClientConnection) -> None:
    """Idle connections are many."""
    peer.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 6000000\r\n\r\n" + bytes(6_000_000)]
    assert len((await client.call(HEAD, seconds=10))[2]) == 6_000_000
    kept = [getattr(client, name, None) for name in ("_sink", "_headers", "_trailers")]
    assert kept == [None, {}, None]


async def test_a_silent_peer_is_noticed_by_tcp(client: ClientConnection) -> None:
    """Its node is gone, and nobody says so: probes while idle, a bound on what is not acknowledged."""
    assert client._transport is not None
    found = client._transport.get_extra_info("socket")
    assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert 0 < found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 20_000
    assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 10


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/a\n"])
def test_no_target_breaks_the_request_line(target: str) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(ValueError, match="not a request line"):
        request_head("GET", target, "x", {}, 0)


def test_no_value_breaks_its_line() -> None:
    """Line breaks become a space, as those of folded lines do."""
    head = request_head("GET", "/", "x", {"X-A": "one\r\n\r\ntwo\0"}, 0)
    assert head.endswith(b"X-A: one two \r\n\r\n")
    assert head.count(b"\r\n\r\n") == 1


class SlowReader:
    """Says that it can take no more while the answer comes, and never that it can again."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.ended = asyncio.Event()

    def head(self, status: int, headers: Headers) -> None:
        """Called by the connection."""

    def data(self, data: bytes) -> None:
        """Called by the connection."""
        self.connection.pause()

    def end(self, trailers: Headers) -> None:
        """Called by the connection."""
        self.ended.set()

    def abort(self, why: str) -> None:
        """Called by the connection."""


async def test_a_connection_reads_again_for_the_next_answer(client: ClientConnection, peer: Peer) -> None:
    """Who took the last one slowly is not in its way: it was kept and nobody would ever have read from it."""
    peer.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"] * 2
    reader = SlowReader(client)
    client.exchange(HEAD, b"", reader)
    async with asyncio.timeout(20):
        await reader.ended.wait()
        assert await client.call(HEAD) == (200, {b"content-length": b"2"}, b"ab")
