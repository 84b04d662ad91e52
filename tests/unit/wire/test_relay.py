"""What becomes of a request on its way through another server, when one of the three does not do its part."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.eventually import eventually

from kubelambda.wire.client import ClientConnection, connect
from kubelambda.wire.flow import Headers
from kubelambda.wire.passing_answer import PassingAnswer
from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.relay import AnswerRelay, Relay, relayed_head
from kubelambda.wire.request import Request
from kubelambda.wire.request_reader import Admission

MEGABYTE = 1 << 20

type Behind = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Between:
    """A server that passes requests through to one that the test writes."""

    def __init__(self, behind: Behind) -> None:
        self.behind = behind
        self.far_port = 0
        self.port = 0
        self.streamed = False
        self.seconds: float | None = None
        self.kept: list[ClientConnection] = []
        self.failures: list[str] = []
        self.answered: Callable[[Headers], Headers] | None = None

    def admit(self, request: Request) -> Admission:
        """Streams, or collects first."""
        if not self.streamed:
            return MEGABYTE
        relay = Relay(request, self.head(request), self.answer(request))
        asyncio.get_running_loop().create_task(self.through(relay.through))
        return relay

    def serve(self, request: Request) -> None:
        """A whole request."""
        answer, head = self.answer(request), self.head(request)
        asyncio.get_running_loop().create_task(self.through(lambda connection: answer.ask(connection, head)))

    def head(self, request: Request) -> bytes:
        """As it is passed on."""
        return relayed_head(request, length=int(request.headers.get(b"content-length", 0)))

    def answer(self, request: Request) -> AnswerRelay:
        """503 where nothing came."""

        def failed(why: str) -> None:
            self.failures.append(why)
            request.respond(503)

        return AnswerRelay(request, done=self.kept.append, failed=failed, seconds=self.seconds, answered=self.answered)

    async def through(self, ask: Callable[[ClientConnection], None]) -> None:
        """Over a kept connection, or a new one."""
        ask(self.kept.pop() if self.kept else await connect("127.0.0.1", self.far_port, lambda _: None))


@contextlib.asynccontextmanager
async def between(behind: Behind, found: Between | None = None) -> AsyncIterator[Between]:
    """Both servers on loopback."""
    found = found or Between(behind)
    loop = asyncio.get_running_loop()
    far = await asyncio.start_server(found.behind, "127.0.0.1", 0)
    server = await loop.create_server(
        lambda: ServerProtocol(found.serve, max_body=0, admit=found.admit), "127.0.0.1", 0
    )
    found.far_port = far.sockets[0].getsockname()[1]
    found.port = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(30):
        yield found
    server.close()
    far.close()
    for connection in found.kept:
        connection.abort()
    await asyncio.sleep(0.02)


async def answer_to(port: int, request: bytes) -> bytes:
    """All that comes until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    found = await reader.read()
    writer.close()
    return found


CLOSE = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        (b"", b"HTTP/1.1 503 "),
        (b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 503 "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"HTTP/1.1 200 "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"HTTP/1.1 200 "),
    ],
)
async def test_an_answer_that_breaks_off_is_no_answer_or_one_that_breaks_off(sent: bytes, received: bytes) -> None:
    """Before its head something else may be answered; after it the caller must not take what came for the whole."""

    async def behind(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        writer.close()

    async with between(behind) as found:
        answer = await answer_to(found.port, b"GET /" + CLOSE + b"\r\n")
        assert answer.startswith(received)
        assert len(found.failures) == (received == b"HTTP/1.1 503 ")
        if not found.failures:
            assert answer.endswith((b"\r\n\r\nabc", b"abc\r\n"))


class Alarms:
    """What a loop is to call after some time, which passes when the test says so: no machine is too slow for it."""

    def __init__(self, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self._seconds = seconds
        self._set: list[Callable[[], None]] = []
        loop = asyncio.get_running_loop()
        self._call_later = loop.call_later
        monkeypatch.setattr(loop, "call_later", self._later)

    def _later(self, delay: float, callback: Callable[..., None], *arguments: Any, **how: Any) -> asyncio.TimerHandle:
        if delay == self._seconds:
            self._set.append(callback)
            delay = 3600
        return self._call_later(delay, callback, *arguments, **how)

    async def pass_by(self) -> None:
        """The time is over."""
        await eventually(lambda: self._set)
        (alarm,) = self._set
        self._set.clear()
        alarm()


@pytest.mark.parametrize("pieces", [0, 20])
async def test_an_answer_that_does_not_get_on_is_given_up(monkeypatch: pytest.MonkeyPatch, pieces: int) -> None:
    """As long as it gets on, it may take its time."""
    asked = asyncio.Semaphore(0)

    async def behind(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if pieces:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(pieces):
            await asked.acquire()
            writer.write(b"!")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    async with between(behind) as found:
        found.seconds = 1.5
        alarms = Alarms(found.seconds, monkeypatch)
        reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
        writer.write(b"GET /" + CLOSE + b"\r\n")
        answer = b""
        for _ in range(pieces):
            asked.release()
            answer += await reader.readuntil(b"!")
            await alarms.pass_by()
        await alarms.pass_by()
        answer += await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200 " if pieces else b"HTTP/1.1 503 ")
        assert answer.count(b"!") == pieces
        assert len(found.failures) == (not pieces)


async def test_a_caller_that_leaves_takes_its_upload_along() -> None:
    """The other server sees that the body breaks off, and nobody is told of a failure."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def behind(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        begun.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        ended.set()

    async with between(behind) as found:
        found.streamed = True
        _, writer = await asyncio.open_connection("127.0.0.1", found.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + bytes(500_000))
        await begun.wait()
        writer.close()
        await ended.wait()
        assert not found.failures
        assert not found.kept


async def test_fields_of_one_connection_are_not_passed_on() -> None:
    """Those of the standard, those that `Connection` names, and a length that would be another one's."""
    heads: list[bytes] = []

    async def behind(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: x-hop, keep-alive\r\nX-Hop: 1\r\nX-Kept: 2\r\n")
        writer.write(b"Keep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    async with between(behind) as found:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close, content-length, X-Mine\r\nX-Mine: 1\r\nX-Other: 2\r\n"
        answer = await answer_to(found.port, head + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
        assert len(found.kept) == 1
    sent = heads[0].lower()
    assert b"x-other: 2\r\n" in sent
    assert b"content-length: 3\r\n" in sent
    for gone in (b"x-mine", b"connection:", b"expect"):
        assert gone not in sent
    answer = answer.partition(b"\r\n\r\n")[2].lower()  # after 100 Continue
    assert b"x-kept: 2\r\n" in answer
    for gone in (b"x-hop", b"keep-alive"):
        assert gone not in answer


@pytest.mark.parametrize("body", [b"", b"3\r\nabc\r\n"])
async def test_trailers_are_passed_on_as_headers_are(body: bytes) -> None:
    """Even after nothing; and whoever looks at the one looks at the other."""

    async def behind(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        writer.write(b"0\r\nX-Kept: 1\r\nX-Ours: 2\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    seen: list[bytes] = []

    def answered(headers: Headers) -> Headers:
        seen.extend(headers)
        return {name: value for name, value in headers.items() if name != b"x-ours"}

    async with between(behind) as found:
        found.answered = answered
        answer = await answer_to(found.port, b"GET /" + CLOSE + b"\r\n")
    assert answer.endswith(body + b"0\r\nx-kept: 1\r\n\r\n")
    assert b"x-ours" in seen


async def test_a_caller_who_has_all_of_an_answer_has_nothing_to_say_about_the_next() -> None:
    """It may be cut off after the other server was done with it: by then the connection carries another's answer."""

    async def behind(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nX-Error: 1\r\n\r\n")
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.1)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await reader.read()
        writer.close()

    class CutOff(PassingAnswer):
        """As function URLs end what failed half way."""

        def end(self, request: Request, trailers: bytes) -> None:
            """Cut off."""
            self.abort(request)

    server = await asyncio.start_server(behind, "127.0.0.1", 0)
    connection = await connect("127.0.0.1", server.sockets[0].getsockname()[1], lambda _: None)
    second: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def keep(kept: ClientConnection) -> None:
        kept.send(b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n", b"", lambda _, __, body: second.set_result(body))

    def serve(request: Request) -> None:
        request.connection = CutOff(request.connection)
        relay = AnswerRelay(request, done=keep, failed=lambda why: None)
        relay.ask(connection, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    loop = asyncio.get_running_loop()
    front = await loop.create_server(lambda: ServerProtocol(serve, max_body=0), "127.0.0.1", 0)
    answer = await answer_to(front.sockets[0].getsockname()[1], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.endswith(b"half\r\n")
    async with asyncio.timeout(60):
        assert await second == b"ok"
    connection.abort()
    front.close()
    server.close()
    await asyncio.sleep(0.02)


async def test_a_caller_whose_answer_cannot_be_made_is_cut_off() -> None:
    """Whoever stands before the connection makes another answer of it, and may be wrong: nobody waits for ever."""

    async def behind(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    class Unable(PassingAnswer):
        """Makes nothing of it."""

        def respond(self, request: Request, status: int, body: bytes, headers: bytes) -> None:
            """Fails."""
            raise ValueError("no answer")

    class Before(Between):
        """Has it stand before every answer."""

        def answer(self, request: Request) -> AnswerRelay:
            """As any other."""
            request.connection = Unable(request.connection)
            return super().answer(request)

    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    async with between(behind, Before(behind)) as found:
        assert await answer_to(found.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    assert [type(error) for error in told] == [ValueError]
