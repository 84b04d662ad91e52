"""A minimal HTTP/1.1 server: httptools over the bytes of a connection, one request in flight per connection."""

import math

import httptools

from kubelambda.wire.connections import SLOWEST_BYTES_PER_S
from kubelambda.wire.flow import Transport
from kubelambda.wire.message import NO_HEADERS, MessageRefused
from kubelambda.wire.request import Request
from kubelambda.wire.request_reader import BUSY, CHOKED, DROPPED_MAX_BYTES, PAUSED, RequestReader
from kubelambda.wire.response_writer import CHUNKED, COMPLETE, HEAD, NOT_WATCHED

__all__ = ["Connection", "Request"]

_SMALL_BYTES = 16_384
"""What is less than this is not counted: the number of connections bounds it."""
_LINGER_S = 5.0
"""How long a client may go on to send what nobody reads, before it gets a reset that may cost it the answer."""


def _plain(_: Request, __: int, message: str) -> tuple[bytes, bytes]:
    """Header lines and body of a refusal, where nobody says how they look."""
    return b"Content-Type: application/json\r\n", b'{"message":"%b"}' % message.encode()


class Connection(RequestReader):
    """The server side of one connection, on whatever event loop calls it as asyncio calls its protocols.

    A request that comes before the answer to an earlier one is not even parsed until then: of what a client sends
    ahead, one read is kept, and no more is read.
    """

    __slots__ = ()

    @property
    def idle(self) -> bool:
        """Whether the next thing to come is a request."""
        return self._request is None and not self._raw and not self._dropping

    # -- what the event loop calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: Transport) -> None:
        """Called by the event loop."""
        self._transport = transport
        if not self._connections.add(self):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        """Called by the event loop."""
        flow = self._flow
        self._transport = self._request = self._flow = None
        self._pending = self._body = b""
        self._connections.remove(self)
        if flow is not None:
            flow.cancel()
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.abort("the connection ended within the body")

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self.touched = True
        if self._dropping:
            self._drop(len(data))
        elif self._blocked or self._pending:
            self._pending += data
            self._stop_reading()
            self._count_ahead()
        else:
            self._parse(data)

    def pause_writing(self) -> None:
        """Called by the event loop: the client does not read what it asked for, and may not ask for more."""
        self._blocked |= CHOKED
        self._choked()

    def resume_writing(self) -> None:
        """Called by the event loop."""
        self._blocked &= ~CHOKED
        self._flowing()
        self._pump()
        if self._readable and (self._raw or self._left != HEAD):
            self._wait_for_more()

    # -- one request --------------------------------------------------------------------------------------------------

    def _wait_for_more(self) -> None:
        """It must not take for ever, nor too much."""
        bounds = self._connections.bounds
        kept = self._kept()
        if kept > _SMALL_BYTES and not self._hold(kept):
            self._give_up(429, "too many large requests at once")
        elif self.deadline == math.inf:
            self._sized = self._size
            self._unread = NOT_WATCHED
            self._since = self._connections.watch(self, bounds.head_s if self._request is None else bounds.body_s)

    def _kept(self) -> int:
        """Bytes of the present request, its head included, and of what was sent ahead behind it."""
        request = self._request
        body = len(self._body) or (len(request.body) if request is not None else 0)
        return body + max(self._incomplete_bytes, self._head_bytes) + len(self._pending)

    def _left_over(self, data: bytes, position: int) -> None:
        super()._left_over(data, position)
        self._count_ahead()

    def _count_ahead(self) -> None:
        """What is sent ahead waits for as long as the request before it does."""
        if len(self._pending) > _SMALL_BYTES and not self._hold(self._kept()):
            self.cut()

    def _hold(self, size: int) -> bool:
        """Counts what the connection holds; False when that is too much."""
        self._holding = True
        return self._connections.hold(self, size)

    def _complete(self) -> None:
        """All of a message came."""
        self.deadline = math.inf
        self._raw = 0
        request, sink = self._request, self._sink
        if request is None:  # it was answered at its head, or at the end of its body by whoever takes that
            self._sink = None
            if sink is not None:
                sink.abort("the request was answered before its end")
            self._next()
            return
        self._blocked |= BUSY
        if sink is None:
            self._serve_whole(request)
            return
        self._sink = None
        try:
            sink.end(request.trailers)
        except Exception as error:  # noqa: BLE001 - whatever it is, the request gets an answer
            self._refuse(error)

    def _serve_early(self) -> None:
        """More comes than anybody wants to count."""
        if self._request is not None and not self._dropping:
            self._dropping = True
            self._serve_whole(self._request)

    def _serve_whole(self, request: Request) -> None:
        body = self._body
        if body:
            self._body = b""
            request.body = body if isinstance(body, bytes) else bytes(body)
        request.size = self._size
        size = self._size + self._head_bytes
        try:
            if size > _SMALL_BYTES and not self._hold(size):
                raise MessageRefused(429, "too many large requests at once")
            self._then(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the request gets an answer
            self._refuse(error)

    @property
    def _stuck(self) -> bool:
        return bool(self._blocked & CHOKED)

    def _answered(self) -> None:
        self._request = None
        self._blocked &= CHOKED
        if self._begun:
            self._begun = False
            self._flow = None
        if self._holding:
            self._holding = False
            if not self._blocked:
                self._connections.release(self)
        if self._left > 0 or self._left == CHUNKED:
            self._linger()
        elif self._last:
            self.close()
        else:
            if self._left == COMPLETE:
                self._next()
            if (self._pending or not self._reading) and not self._parsing:
                self._pump()

    def _next(self) -> None:
        """Keeps nothing of the last message."""
        self._left = HEAD
        self._headers = self._fields = NO_HEADERS
        self._trailers = None
        self._then = self._serve
        if self._replaced:
            self._replaced = False
            self._parser = httptools.HttpRequestParser(self)

    def _linger(self) -> None:
        """The client has its answer and may still be sending: a close at once would reset what it has not read."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.abort("the request was answered before its end")
        self._dropping = True
        self._body = b""
        self._headers = NO_HEADERS
        self._trailers = self._fields = {}  # the parser may be within a read
        self._parser = httptools.HttpRequestParser(self)  # which keeps the beginning of a field
        if self._transport is not None:
            self._transport.write_eof()
            self._connections.watch(self, _LINGER_S)
            if not self._reading:
                self._reading = True
                self._transport.resume_reading()
        ahead, self._pending = len(self._pending), b""
        self._drop(ahead)

    def _drop(self, size: int) -> None:
        self._dropped += size
        if self._request is None:
            if 0 < self._left <= self._dropped or self._dropped > DROPPED_MAX_BYTES:
                self.close()
        elif self._dropped > DROPPED_MAX_BYTES:
            self._stop_reading()

    def _give_up(self, status: int, message: str) -> None:
        """Answers, and reads nothing more."""
        if self._dropping and self._request is None:
            return  # it had its answer, within the same read
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.abort(message)
        self.closing = True
        self._body = b""
        if self._left != COMPLETE:
            self._left = CHUNKED  # a message without an end: what comes of it is dropped
        if self._begun:
            self.close()
            return
        if self._request is None:
            self._request = Request(self, b"", b"", {}, b"", 0)
        headers, body = (self._wording or _plain)(self._request, status, message)
        self._request.respond(status, body, headers)

    def expire(self, now: float) -> None:
        """Its deadline has passed."""
        self.deadline = math.inf
        bounds = self._connections.bounds
        transport = self._transport
        if transport is None:
            return
        if self._dropping:
            self.cut()
        elif self._unread != NOT_WATCHED:
            self._look_at_reading()
            if self._unread == NOT_WATCHED and self._readable and (self._raw or self._left != HEAD):
                self._wait_for_more()
        elif self._request is None:
            self._give_up(408, "the head of the request took too long")
        elif self._sink is not None:
            if self._size > self._sized or self._blocked & PAUSED:
                self._sized = self._size
                self._connections.watch(self, bounds.body_s)
            else:
                self._give_up(408, "the body of the request stopped")
        elif self._size < (now - self._since - bounds.body_s) * SLOWEST_BYTES_PER_S:
            self._give_up(408, "the body of the request took too long")
        else:
            self._connections.watch(self, bounds.body_s)
