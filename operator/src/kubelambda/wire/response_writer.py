"""The writing half of a server's connection: answers whole, or as a head, data and an end or an abort."""

import math
from http import HTTPStatus

from kubelambda.wire.connections import RELAY_S, Connections
from kubelambda.wire.flow import Flow, Transport
from kubelambda.wire.message import MessageReader
from kubelambda.wire.request import Request
from kubelambda.wire.unread import unread


def _status_line(status: int) -> bytes:
    known = status in set(HTTPStatus)
    return b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode() if known else b"")


_STARTS = {status.value: _status_line(status.value) for status in HTTPStatus}
HEAD, CHUNKED, COMPLETE = 0, -1, -2
"""Where in a message we are, when it is not so many bytes before the end of a body."""
_AT_END = (COMPLETE, HEAD)
NOT_WATCHED = -1
"""The unread bytes of a client that is not watched."""
_JOINED_BYTES = 65_536
"""A larger piece goes out by itself: copying it costs more than a system call."""


class ResponseWriter(MessageReader):
    """Writes answers, one after the other. Whoever reads the requests says what comes after one."""

    __slots__ = (
        "_begun",
        "_bodiless",
        "_chunked",
        "_connections",
        "_flow",
        "_gathers",
        "_held",
        "_last",
        "_left",
        "_more",
        "_old",
        "_request",
        "_transport",
        "_unread",
        "_unsent",
        "closing",
        "deadline",
        "idle_since",
        "lasting",
        "relaying",
        "touched",
    )

    def __init__(self, connections: Connections, *, gathers: bool) -> None:
        super().__init__()
        self._connections = connections
        self._gathers = gathers
        """Whether 202 waits for the next answer, if the client has asked for that already."""
        self._transport: Transport | None = None
        self._request: Request | None = None
        self._flow: Flow | None = None
        self._left = HEAD
        """Bytes of the request's body that are still to come, or where else in a message we are."""
        self._begun = False
        self._bodiless = False
        self._old = False
        self._chunked = False
        self._unsent: int | None = None
        self._last = False
        self._more = False
        """Whether the client sent a whole head behind the request."""
        self._held = b""
        """An answer that goes out with the next one."""
        self._unread = NOT_WATCHED
        """Bytes that the client had not taken when its reading was looked at last, and what was sent to it since."""
        self.closing = False
        """Whether the next answer is the last one."""
        self.relaying = False
        """Whether its client passes answers on, to callers whose reading it watches itself."""
        self.deadline = math.inf
        self.touched = False
        self.idle_since = 0.0
        self.lasting = False
        """Whether the connection may be idle for ever."""

    @property
    def peer(self) -> str:
        """Address of the other side, as far as the event loop tells it."""
        found = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(found[0]) if found else ""

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer."""
        return self._request is not None

    @property
    def sending(self) -> bool:
        """Whether some of what was answered is still to be sent."""
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    # -- answering ----------------------------------------------------------------------------------------------------

    def respond(self, request: Request, status: int, body: bytes = b"", headers: bytes = b"") -> None:
        """Writes one response in one call."""
        transport = self._transport
        if self._request is not request or self._begun or transport is None:
            return
        if self.closing or self._last or self._left not in _AT_END:
            headers += self._announce_end()
        start = _STARTS.get(status) or _status_line(status)
        if self._held:
            start, self._held = self._held + start, b""
        if status == 204 or request.method == b"HEAD":
            transport.write(_bodiless_head(start, status, headers, len(body)))
        elif self._more and status == 202 and self._gathers and not self._last:
            self._held = b"%b%bContent-Length: %d\r\n\r\n%b" % (start, headers, len(body), body)
        elif len(body) < _JOINED_BYTES:
            transport.write(b"%b%bContent-Length: %d\r\n\r\n%b" % (start, headers, len(body), body))
        else:
            transport.write(b"%b%bContent-Length: %d\r\n\r\n" % (start, headers, len(body)))
            transport.write(body)
        self._answered()

    def begin(self, request: Request, status: int, headers: bytes, length: int | None, flow: Flow | None) -> None:
        """Writes the head of a response."""
        transport = self._transport
        if self._request is not request or self._begun or transport is None:
            return
        self._begun = True
        self._bodiless = status == 204 or request.method == b"HEAD"
        self._chunked = length is None and not self._old and not self._bodiless
        self._unsent = length
        if length is None and self._old:
            self._last = True  # the end of the body is the end of the connection
        if self.closing or self._last or self._left > 0 or self._left == CHUNKED:
            headers += self._announce_end()
        if length is not None and status != 204:
            headers += b"Content-Length: %d\r\n" % length
        elif not self._old and status != 204:
            headers += b"Transfer-Encoding: chunked\r\n"
        transport.write(b"%b%b\r\n" % (self._held + (_STARTS.get(status) or _status_line(status)), headers))
        self._held = b""
        self._flow = flow
        if flow is not None and self._stuck:
            flow.pause()

    def write(self, request: Request, data: bytes) -> None:
        """Writes more of the body."""
        transport = self._transport
        if self._request is not request or not self._begun or transport is None or self._bodiless or not data:
            return
        if self._unsent is not None:
            self._unsent -= len(data)
            if self._unsent < 0:  # what was announced is another length: nobody may take the rest for an answer
                self.abort(request)
                return
        if not self._chunked:
            transport.write(data)
        elif len(data) < _JOINED_BYTES:
            transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            transport.write(b"%x\r\n" % len(data))
            transport.write(data)
            transport.write(b"\r\n")
        if self._stuck:
            self._unread += len(data)
            if not self._connections.hold(self, transport.get_write_buffer_size()):
                self.cut()  # a sender who was told to wait had more on its way

    def end(self, request: Request, trailers: bytes) -> None:
        """Writes the end of the body."""
        if self._request is not request or not self._begun or self._transport is None:
            return
        if self._unsent and not self._bodiless:
            self.abort(request)
            return
        if self._chunked:
            self._transport.write(b"0\r\n%b\r\n" % trailers)
        self._answered()

    def abort(self, request: Request) -> None:
        """Ends the connection before the end of the body."""
        if self._request is not request or self._transport is None:
            return
        if self._begun and self._unsent is None and not self._chunked:
            self.cut()  # an ordinary end would pass for that of the body
        else:
            self.close()
        self._request = None

    def serves(self, request: Request) -> bool:
        """Whether the client of this connection waits for the answer to the request."""
        transport = self._transport
        return self._request is request and transport is not None and not transport.is_closing()

    def close(self) -> None:
        """Closes the connection once all is sent, or nobody reads it."""
        if self._transport is not None:
            self._transport.close()
            self._must_be_read()

    def finish(self) -> bool:
        """Closes the connection after its next answer. Returns whether its client waits for one, or reads the last."""
        self.closing = True
        if self.busy or self._transport is None:
            return self.busy
        if not unread(self._transport):
            return False
        self._must_be_read()
        return True

    def cut(self) -> None:
        """Closes the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # -- what is sent and not read ------------------------------------------------------------------------------------

    def _choked(self) -> None:
        """The client reads too slowly."""
        if self._transport is None:
            return
        self._connections.unread(self)
        self._must_be_read()
        if not self._connections.hold(self, self._transport.get_write_buffer_size()):
            self.cut()
        elif self._flow is not None:
            self._flow.pause()

    def _flowing(self) -> None:
        """The client has read nearly all."""
        self.deadline = math.inf
        self._unread = NOT_WATCHED
        self._connections.read(self)
        self._connections.release(self)
        if self._flow is not None:
            self._flow.resume()

    def _must_be_read(self) -> None:
        """Sets a deadline for the client to take some of what is still to be sent, unless there is one."""
        if self._transport is not None and (self._unread == NOT_WATCHED or self.deadline == math.inf):
            self._watch_reading(unread(self._transport))

    def _look_at_reading(self) -> None:
        """Cuts off a client that has taken nothing since it was looked at last."""
        transport = self._transport
        if transport is None:
            return
        size = unread(transport)
        if 0 < size < self._unread:
            self._watch_reading(size)
        elif size or transport.is_closing():
            self.cut()
        else:
            self._unread = NOT_WATCHED

    def _watch_reading(self, size: int) -> None:
        self._unread = size
        self._connections.watch(self, RELAY_S if self.relaying else self._connections.bounds.write_s)

    # -- what the reading half says -----------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether the next thing to come is a request."""
        raise NotImplementedError

    def expire(self, now: float) -> None:
        """The deadline has passed."""
        raise NotImplementedError

    @property
    def _stuck(self) -> bool:
        """Whether the client reads too slowly now."""
        raise NotImplementedError

    def _answered(self) -> None:
        """The answer is complete."""
        raise NotImplementedError

    def _announce_end(self) -> bytes:
        self._last = True
        return b"Connection: close\r\n"


def _bodiless_head(start: bytes, status: int, headers: bytes, length: int) -> bytes:
    """The head of an answer without a body: to HEAD, or 204, which has no length either (RFC 9110 §8.6)."""
    if status != 204:
        headers += b"Content-Length: %d\r\n" % length
    return b"%b%b\r\n" % (start, headers)
