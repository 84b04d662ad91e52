"""A minimal HTTP/1.1 client connection: keep-alive, one request in flight, answers whole or as they come."""

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import httptools

from kubelambda.api import limits
from kubelambda.wire.flow import Flow, Headers, ResponseSink
from kubelambda.wire.header_lines import request_head
from kubelambda.wire.message import (
    NO_HEADERS,
    RAW_HEAD_MAX_BYTES,
    SMALL_HEAD_BYTES,
    MessageReader,
    MessageRefused,
    cause,
    too_large,
)

if TYPE_CHECKING:
    import ssl

__all__ = ["AwaitedSink", "ClientConnection", "CollectingSink", "connect", "request_head"]

type Answer = Callable[[int, Headers, bytes], None]
"""Gets status, headers and body."""

ANSWER_MAX_BYTES = limits.RESPONSE_MAX_BYTES + limits.HEADERS_MAX_BYTES
"""Of an answer that is collected, where its caller names no other limit."""
_JOINED_BYTES = 65_536
_UNANSWERED_S = 10
"""How long the other side may leave bytes unacknowledged, or probes of an idle connection, before it counts as gone."""
_PROBE_S = 5


class ClientConnection(MessageReader, asyncio.Protocol):
    """One connection. `on_lost` is called when it ends, with whether a request was in flight."""

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_complete",
        "_flow",
        "_last",
        "_parser",
        "_paused",
        "_said_end",
        "_sink",
        "_transport",
        "on_lost",
    )

    def __init__(self, on_lost: Callable[[bool], None]) -> None:
        super().__init__()
        self.on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._sink: ResponseSink | None = None
        self._flow: Flow | None = None
        self._chunked = False
        self._bodiless = False
        self._complete = False
        self._last = False
        self._paused = False
        self._said_end = False

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def ready(self) -> bool:
        """Whether a request can be sent now: it is open, and none is in flight."""
        transport = self._transport
        return self._sink is None and transport is not None and not transport.is_closing()

    # -- sending ------------------------------------------------------------------------------------------------------

    def send(self, head: bytes, body: bytes, answer: Answer, limit: int = ANSWER_MAX_BYTES) -> None:
        """Sends one request; `answer` gets the whole answer. One of more than `limit` bytes ends the connection."""
        self.exchange(head, body, CollectingSink(answer, limit))

    def exchange(self, head: bytes, body: bytes, sink: ResponseSink) -> None:
        """Sends one request; `sink` gets the answer as it comes. Raises `ConnectionError` when closed or busy."""
        transport = self._transport
        if transport is None or self._sink is not None or transport.is_closing():
            raise ConnectionError("the connection is closed or busy")
        self._sink = sink
        self._bodiless = head.startswith(b"HEAD ")
        if len(body) < _JOINED_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)

    def begin(self, head: bytes, sink: ResponseSink, *, flow: Flow | None = None, chunked: bool = False) -> None:
        """As `exchange`, with a body that follows: `flow` is told when it must wait. The head says how it is framed."""
        self.exchange(head, b"", sink)
        self._chunked = chunked
        self._flow = flow

    def write(self, data: bytes) -> None:
        """More of the body of the request that was begun."""
        if self._transport is not None and data:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end(self, trailers: bytes = b"") -> None:
        """The request is complete. `trailers` are whole lines, of a body in chunks only."""
        if self._transport is not None and self._chunked:
            self._transport.write(b"0\r\n%b\r\n" % trailers)
        self._chunked = False
        self._flow = None

    async def call(
        self, head: bytes, body: bytes = b"", *, seconds: float | None = None, limit: int = ANSWER_MAX_BYTES
    ) -> tuple[int, Headers, bytes]:
        """As `send`, awaited. A call that is not waited for to its end ends the connection.

        Raises `ConnectionError` when the connection ends first, and `TimeoutError` after `seconds`.
        """
        sink = AwaitedSink(limit)
        self.exchange(head, body, sink)
        try:
            async with asyncio.timeout(seconds):
                return await sink.answer
        finally:
            if not sink.answer.done() or sink.answer.cancelled():
                self.abort()  # the answer to this request must not be taken for that to another

    def pause(self) -> None:
        """Reads no more of the answer for now."""
        if self._transport is not None and self._sink is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Reads on."""
        if self._transport is not None and self._paused:
            self._paused = False
            self._transport.resume_reading()

    def cancel(self) -> None:
        """Nobody wants the answer that is on its way."""
        if self._sink is not None:
            self.abort()

    def close(self) -> None:
        """Closes the connection once everything is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Closes the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # -- what the event loop calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast("asyncio.Transport", transport)

    def eof_received(self) -> None:
        """Called by the event loop: the other side sends nothing more."""
        self._said_end = self._transport is not None and _said_end(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        flow = self._flow
        self._transport = self._flow = None
        sink, self._sink = self._sink, None
        in_flight = sink is not None
        if flow is not None:
            flow.cancel()
        if sink is not None and exc is None and self._said_end and self._ends_with_connection():
            in_flight = False
            sink.end({})
        elif sink is not None:
            sink.abort("the connection ended without an answer")
        self._headers = NO_HEADERS
        self.on_lost(in_flight)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._raw += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, MessageRefused) as error:
            if not self._complete:
                self._fail(error)
                return
            self._last = True  # an answer, and then something else
        if self._complete:
            self._end()
        elif self._incomplete_bytes > RAW_HEAD_MAX_BYTES:
            self._fail(too_large())

    def pause_writing(self) -> None:
        """Called by the event loop."""
        if self._flow is not None:
            self._flow.pause()

    def resume_writing(self) -> None:
        """Called by the event loop."""
        if self._flow is not None:
            self._flow.resume()

    # -- what the parser calls ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Called by the parser."""
        if self._sink is None or self._complete:
            raise MessageRefused(502, "an answer that nobody asked for")
        self._headers = self._fields = {}
        self._trailers = None

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                raise MessageRefused(502, "another protocol that nobody asked for")
            return
        if self._raw > SMALL_HEAD_BYTES:
            self._count_head()
        self._raw = 0
        self._trailers = self._fields = {}
        self._last = not self._parser.should_keep_alive()
        if self._sink is not None:
            self._sink.head(status, self._headers)
        if self._bodiless:
            self._complete = True

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._raw = 0
        if self._sink is not None and not self._complete:
            self._sink.data(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._trailers is None:  # it was an interim response: the answer is still to come
            return
        if self._trailers:
            self._head_bytes = 0
            self._count(self._trailers)
        self._complete = True

    # -- inside -------------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """The answer is complete. Nothing of it is kept, and another request may be sent before this returns."""
        sink, trailers = self._sink, self._trailers
        self._sink = None
        self._complete = False
        self._headers = self._fields = NO_HEADERS
        self._trailers = None
        self._raw = 0
        if self._paused:  # whoever could not take this answer is not in the way of the next
            self.resume()
        if self._bodiless:
            self._bodiless = False
            self._parser = httptools.HttpResponseParser(self)  # this one waits for the body that was announced
        if self._flow is not None or self._last:  # it was answered before it was complete
            flow, self._flow = self._flow, None
            self.close()
            if flow is not None:
                flow.cancel()
        if sink is not None:
            try:
                sink.end(trailers or NO_HEADERS)
            except Exception as error:  # noqa: BLE001 - whoever waits for the answer hears of it as of a lost connection
                self._sink = self._sink or sink
                self._fail(error)

    def _ends_with_connection(self) -> bool:
        """Whether the answer has neither length nor chunks (RFC 9112 §6.3)."""
        headers = self._headers
        return self._trailers is not None and not (b"content-length" in headers or b"transfer-encoding" in headers)

    def _fail(self, error: Exception) -> None:
        """The answer cannot be understood, or used. `on_lost` tells that it is lost."""
        self._trailers = None
        found = cause(error) if isinstance(error, httptools.HttpParserError) else error
        if not isinstance(found, httptools.HttpParserError | httptools.HttpParserUpgrade | MessageRefused):
            context = {"message": "an answer could not be used", "exception": found, "protocol": self}
            asyncio.get_running_loop().call_exception_handler(context)
        self.abort()


class CollectingSink:
    """Collects answers, one after the other, and hands each over whole. Says nothing of none: `on_lost` does."""

    __slots__ = ("_answer", "_body", "_headers", "_limit", "_status")

    def __init__(self, answer: Answer, limit: int) -> None:
        self._answer = answer
        self._limit = limit
        self._status = 0
        self._headers = NO_HEADERS
        self._body: bytes | bytearray = b""

    def head(self, status: int, headers: Headers) -> None:
        """Called by the connection."""
        self._status = status
        self._headers = headers

    def data(self, data: bytes) -> None:
        """Called by the connection."""
        if len(self._body) + len(data) > self._limit:
            raise MessageRefused(502, f"an answer of more than {self._limit} bytes")
        if not self._body:
            self._body = data
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += data

    def end(self, trailers: Headers) -> None:  # noqa: ARG002 - nobody asks for them
        """Called by the connection."""
        body, self._body = self._body, b""
        headers, self._headers = self._headers, NO_HEADERS
        self._answer(self._status, headers, body if isinstance(body, bytes) else bytes(body))

    def abort(self, why: str) -> None:
        """Called by the connection."""


class AwaitedSink(CollectingSink):
    """A collected answer to wait for."""

    __slots__ = ("answer",)

    def __init__(self, limit: int) -> None:
        super().__init__(self._answered, limit)
        self.answer: asyncio.Future[tuple[int, Headers, bytes]] = asyncio.get_running_loop().create_future()

    def _answered(self, status: int, headers: Headers, body: bytes) -> None:
        if not self.answer.done():
            self.answer.set_result((status, headers, body))

    def abort(self, why: str) -> None:
        """Called by the connection."""
        if not self.answer.done():
            self.answer.set_exception(ConnectionError(why))
            self.answer.exception()  # whoever has left meanwhile is not missed


def _said_end(transport: asyncio.Transport) -> bool:
    """Whether the other side has ended what it sends: by TLS a word of its own says so, which nobody else can say."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return True
    try:
        return bool(tls.read(1) == b"")
    except OSError:  # it would wait for more
        return False


async def connect(
    host: str,
    port: int,
    on_lost: Callable[[bool], None],
    seconds: float = 5.0,
    *,
    tls: "ssl.SSLContext | None" = None,
) -> ClientConnection:
    """An open connection, which ends soon when the other side vanishes. Raises `OSError` or `TimeoutError`."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds):
        transport, connection = await loop.create_connection(lambda: ClientConnection(on_lost), host, port, ssl=tls)
    notice_silence(transport.get_extra_info("socket"))
    return connection


def notice_silence(found: socket.socket | None) -> None:
    """Makes TCP end a connection whose other side went away without a word: its node is lost, or the way to it."""
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_S)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_S)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNANSWERED_S * 1000)
