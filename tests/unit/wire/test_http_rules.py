"""RFC 9112's rules for messages and connections, over real sockets."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.server import Request

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"


class Site:
    """A server whose answers are the bodies of its requests."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.port = 0

    def serve(self, request: Request) -> None:
        """Keeps and answers a request."""
        self.requests.append(request)
        if request.target == b"/broken":
            raise RuntimeError("a fault of ours")
        if request.target == b"/empty":
            request.respond(204)
        elif request.target != b"/never":
            request.respond(200, request.body or b"nothing")

    @property
    def targets(self) -> list[bytes]:
        """What was asked for."""
        return [request.target for request in self.requests]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A server with bodies of at most a thousand bytes."""
    found = Site()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ServerProtocol(found.serve, max_body=1000), "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()
    server.close_clients()


async def sent(site: Site, *pieces: bytes, until: bytes | None = None) -> bytes:
    """All that a server answers, until it closes the connection or has answered `until`."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01 if len(pieces) > 1 else 0)
        try:
            return await (reader.read() if until is None else reader.readuntil(until))
        finally:
            writer.close()


def status(answer: bytes) -> int:
    """The status of the first answer."""
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT, 400),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + NEXT, 400),
        (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef" + NEXT, 400),
        (POST + b"Content-Length: 5, 5\r\n\r\nabcde" + NEXT, 400),
        (POST + b"Content-Length: +5\r\n\r\nabcde" + NEXT, 400),
        (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + NEXT, 400),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + NEXT, 501),
        (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + NEXT, 501),
        (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + NEXT, 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n" + NEXT, 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n" + NEXT, 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n" + NEXT, 400),
        (GET + b"X-A: one\r\n two\r\n\r\n" + NEXT, 400),
        (GET + b"X-A: one\nX-B: two\r\n\r\n" + NEXT, 400),
        (GET + b"X-A: one\rX-B: two\r\n\r\n" + NEXT, 400),
        (GET + b"X-A: o\0ne\r\n\r\n" + NEXT, 400),
        (b"GET / HTTP/1.1\nHost: x\n\n" + NEXT, 400),
        (GET + b": nameless\r\n\r\n" + NEXT, 400),
        (GET + b"two words: x\r\n\r\n" + NEXT, 400),
        (GET + b"Host: y\r\n\r\n" + NEXT, 400),
        (b"GET / HTTP/1.1\r\n\r\n" + NEXT, 400),
        (b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n" + NEXT, 400),
        (b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n" + NEXT, 400),
        (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n" + NEXT, 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT, 400),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n" + NEXT, 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n" + NEXT, 501),
        (POST + b"Expect: the-unexpected\r\nContent-Length: 2\r\n\r\nhi" + NEXT, 417),
    ],
)
async def test_what_could_be_read_in_two_ways_is_refused_and_nothing_after_it_served(
    site: Site, request_bytes: bytes, expected: int
) -> None:
    """Once, with the end of the connection."""
    answer = await sent(site, request_bytes)
    assert (status(answer), answer.count(b"HTTP/1.1 ")) == (expected, 1)
    assert b"connection: close" in answer.lower()
    assert site.requests == []


@pytest.mark.parametrize("pieces", [1, 2, 1000])
async def test_an_upgrade_offer_is_ignored(site: Site, pieces: int) -> None:
    """The body is read, in however many pieces the request comes, and the connection goes on."""
    request = POST + UPGRADE + b"Content-Length: 3\r\n\r\nabc"
    parts = _split(request, pieces)
    answer = await sent(site, *parts, NEXT, until=b"nothing")
    assert answer.count(b"HTTP/1.1 200") == 2
    assert b"\r\n\r\nabcHTTP" in answer
    assert site.requests[0].headers[b"upgrade"] == b"h2c"


async def test_an_upgrade_offer_with_a_body_in_chunks_is_ignored(site: Site) -> None:
    """Trailers and what follows are read as ever."""
    chunks = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"
    answer = await sent(site, POST + UPGRADE + chunks + NEXT, until=b"nothing")
    assert b"\r\n\r\nabcHTTP" in answer
    assert site.requests[0].trailers == {b"x-sum": b"1"}
    assert site.targets == [b"/", b"/next"]


def _split(request: bytes, pieces: int) -> list[bytes]:
    size = max(1, -(-len(request) // pieces))
    return [request[start : start + size] for start in range(0, len(request), size)]


async def test_a_head_request_is_answered_without_a_body(site: Site) -> None:
    """With the length of the body that GET would have had; what follows is the next answer."""
    answer = await sent(site, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" + NEXT, until=b"nothing")
    first, second, body = answer.split(b"\r\n\r\n")
    assert b"Content-Length: 7" in first
    assert second.startswith(b"HTTP/1.1 200")
    assert body == b"nothing"


async def test_no_content_has_neither_body_nor_length(site: Site) -> None:
    """RFC 9110 §8.6."""
    answer = await sent(site, b"GET /empty HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"content-length" not in answer.lower()


@pytest.mark.parametrize(
    ("target", "expected"),
    [(b"http://host/a?b=c", b"/a?b=c"), (b"HTTP://host:80", b"/"), (b"https://host?b", b"/?b")],
)
async def test_an_absolute_target_is_the_path_and_the_host_that_it_names(
    site: Site, target: bytes, expected: bytes
) -> None:
    """RFC 9112 §3.2.2: whatever the Host header says."""
    await sent(site, b"GET " + target + b" HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n")
    assert site.requests[0].target == expected
    assert site.requests[0].headers[b"host"].startswith(b"host")


async def test_options_may_ask_about_the_server_as_a_whole(site: Site) -> None:
    """RFC 9112 §3.2.4."""
    await sent(site, b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert site.targets == [b"*"]


async def test_trailers_are_no_headers(site: Site) -> None:
    """Whatever they are called."""
    chunks = b"X-Key: header\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    chunks += b"3;name=value\r\nabc\r\n0\r\nX-Key: trailer\r\nAuthorization: no\r\n\r\n"
    await sent(site, POST + chunks)
    request = site.requests[0]
    assert (request.headers[b"x-key"], b"authorization" in request.headers) == (b"header", False)
    assert request.trailers == {b"x-key": b"trailer", b"authorization": b"no"}
    assert request.body == b"abc"


async def test_fields_that_come_twice_are_joined(site: Site) -> None:
    """RFC 9110 §5.3; cookies have their own mark."""
    await sent(site, GET + b"X-A: 1\r\nX-A: 2\r\nCookie: a=1\r\ncookie: b=2\r\nConnection: close\r\n\r\n")
    headers = site.requests[0].headers
    assert (headers[b"x-a"], headers[b"cookie"]) == (b"1, 2", b"a=1; b=2")


@pytest.mark.parametrize("head", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n"])
async def test_who_asks_once_gets_the_end_of_the_connection(site: Site, head: bytes) -> None:
    """And says so only where what follows is not served."""
    answer = await sent(site, head + NEXT)
    assert answer.endswith(b"nothing")
    assert b"Connection: close\r\n" in answer
    assert site.targets == [b"/"]


async def test_whoever_waits_to_send_too_much_is_told_before(site: Site) -> None:
    """No `100 Continue` for a body over the limit."""
    answer = await sent(site, POST + b"Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert (site.requests[0].size, site.requests[0].body) == (100_000, b"")


async def test_a_callback_that_fails_is_answered(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """With 500 and the end of the connection; the fault is reported."""
    answer = await sent(site, b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n" + NEXT)
    assert status(answer) == 500
    assert site.targets == [b"/broken"]
    assert "a fault of ours" in capsys.readouterr().err


async def test_a_request_is_answered_once(site: Site) -> None:
    """A second answer would pass for that to the next request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(NEXT)
    await reader.readuntil(b"nothing")
    site.requests[0].respond(200, b"again")
    writer.write(NEXT)
    assert b"again" not in await reader.readuntil(b"nothing")
    writer.close()


async def test_an_answer_reaches_who_is_still_sending(site: Site) -> None:
    """A close at once would reset the connection under what the client has not read."""
    chunk = b"3e8\r\n" + bytes(1000) + b"\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"nonsense\r\n" + chunk * 10_000)
    async with asyncio.timeout(20):
        assert status(await reader.read()) == 400
    writer.close()
