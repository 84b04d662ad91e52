"""Passing a request through to another server, and its answer back, with nothing kept on the way but what is in flight.

Whoever reads slowly makes whoever sends wait: the caller the other server, and the other server the caller.
"""

import asyncio
from collections.abc import Callable

from kubelambda.wire.client import ClientConnection
from kubelambda.wire.flow import Headers
from kubelambda.wire.header_lines import header_line
from kubelambda.wire.request import Request

_CONNECTION = b"connection"
_LENGTH = b"content-length"
_HOP_BY_HOP = frozenset(
    {_CONNECTION, b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", _LENGTH}
)
"""Fields of one connection, which nobody passes on (RFC 9110 §7.6.1); a length is told anew."""


class Relay:
    """One request on its way through, and its answer on the way back.

    Where the request's body is streamed, the relay is its sink, to be returned by the hook at the request's head. Its
    sender waits until there is a connection.
    """

    def __init__(
        self,
        request: Request,
        head: bytes,
        *,
        streamed: bool,
        done: Callable[[ClientConnection], None],
        failed: Callable[[str], None],
        seconds: float | None = None,
    ) -> None:
        """`head` as `relayed_head` makes it; `streamed`: the body is still to come.

        `done` gets the connection back; `failed` answers where nothing came. An answer that does not begin or does not
        get on for `seconds` is given up.
        """
        self._request = request
        self._head = head
        self._done = done
        self._failed = failed
        self._seconds = seconds
        self._connection: ClientConnection | None = None
        self._kept: list[bytes] = []
        self._sent = not streamed
        self._over = False

    def through(self, connection: ClientConnection) -> None:
        """Sends what came so far, and the rest as it comes."""
        if self._over:
            self._done(connection)
            return
        self._connection = connection
        request, back = self._request, _Back(self, self._request, connection)
        try:
            if self._sent and not self._kept:
                connection.exchange(self._head, request.body, back)
            else:
                chunked = b"transfer-encoding" in request.headers
                connection.begin(self._head, back, flow=_Caller(request), chunked=chunked)
                self._send_on(connection)
        except ConnectionError as error:  # it ended just now
            self.lost(str(error), begun=False)
            return
        if self._seconds is not None:
            back.expect(self._seconds)

    def _send_on(self, connection: ClientConnection) -> None:
        for data in self._kept:
            connection.write(data)
        self._kept.clear()
        if self._sent:
            connection.end()
        self._request.resume()

    def unreached(self, why: str) -> None:
        """There will be no connection."""
        self.lost(why, begun=False)

    # -- the body -----------------------------------------------------------------------------------------------------

    def data(self, data: bytes) -> None:
        """Called by the server's connection."""
        if self._connection is not None:
            self._connection.write(data)
        elif not self._over:
            self._kept.append(data)
            self._request.pause()

    def end(self, trailers: Headers) -> None:
        """Called by the server's connection."""
        self._sent = True
        if self._connection is not None:
            self._connection.end(_lines(trailers))

    def abort(self, why: str) -> None:  # noqa: ARG002 - the other server need not know
        """Called by the server's connection: the caller is gone, or has its answer."""
        self._over = True
        self._kept.clear()
        if self._connection is not None:
            self._connection.abort()

    # -- the answer ---------------------------------------------------------------------------------------------------

    def answered(self, connection: ClientConnection) -> None:
        """The answer is complete."""
        self._over = True
        if self._sent:
            self._done(connection)

    def lost(self, why: str, *, begun: bool) -> None:
        """There will be no more of the answer."""
        if self._over:
            return
        self._over = True
        self._kept.clear()
        if begun:
            self._request.abort()
        else:
            self._failed(why)


class _Caller:
    """The caller, who sends the body: waits while the other server does not take it."""

    def __init__(self, request: Request) -> None:
        self.pause = request.pause
        self.resume = request.resume

    def cancel(self) -> None:
        """The other server is gone, or has answered: what still comes is nobody's."""


class _Back:
    """The way of the answer, and its flow. It is whole in most cases, and is passed on in one piece then."""

    __slots__ = (
        "_begun",
        "_connection",
        "_length",
        "_lines",
        "_moved",
        "_paused",
        "_relay",
        "_request",
        "_status",
        "_timer",
        "_whole",
    )

    def __init__(self, relay: Relay, request: Request, connection: ClientConnection) -> None:
        self._relay = relay
        self._request = request
        self._connection = connection
        self._status = 0
        self._lines = b""
        self._length: int | None = None
        self._begun = False
        self._whole = b""
        self._paused = self._moved = False
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, seconds: float) -> None:
        """Gives the answer up that does not get on for so long."""
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look, seconds)

    def _look(self, seconds: float) -> None:
        if self._moved or self._paused:  # the caller's reading has a deadline of its own
            self._moved = False
            self.expect(seconds)
        else:
            self._connection.abort()

    # -- what the client's connection calls ---------------------------------------------------------------------------

    def head(self, status: int, headers: Headers) -> None:
        """Called by the client's connection."""
        length = headers.get(_LENGTH)
        self._status = status
        self._length = int(length) if length is not None and length.isdigit() else None
        self._lines = _lines(headers)

    def data(self, data: bytes) -> None:
        """Called by the client's connection."""
        if not self._begun and self._length == len(data):
            self._whole = data
            return
        self._moved = True
        self._begin()
        self._request.write(data)

    def end(self, trailers: Headers) -> None:
        """Called by the client's connection."""
        self._settle()
        self._relay.answered(self._connection)
        if not self._begun and self._length in (len(self._whole), None):
            self._request.respond(self._status, self._whole, self._lines)
            return
        self._begin()
        self._request.end(_lines(trailers))

    def abort(self, why: str) -> None:
        """Called by the client's connection."""
        self._settle()
        self._relay.lost(why, begun=self._begun)

    # -- what the server's connection calls ---------------------------------------------------------------------------

    def pause(self) -> None:
        """Called by the server's connection: the caller reads too slowly."""
        self._paused = True
        self._connection.pause()

    def resume(self) -> None:
        """Called by the server's connection."""
        self._paused = False
        self._moved = True
        self._connection.resume()

    def cancel(self) -> None:
        """Called by the server's connection: the caller is gone."""
        self._connection.cancel()

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._request.begin(self._status, self._lines, length=self._length, flow=self)

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def relayed_head(request: Request, extra: bytes = b"", *, length: int | None) -> bytes:
    """The head of a request as another server gets it; `length` None: the body comes in chunks.

    `extra` are whole lines, in place of fields of those names.
    """
    ours = {line.partition(b":")[0].lower() for line in extra.split(b"\r\n") if line}
    dropped = _dropped(request.headers) | ours | {b"expect"}
    framing = b"Transfer-Encoding: chunked\r\n" if length is None else b"Content-Length: %d\r\n" % length
    lines = b"".join(header_line(name, value) for name, value in request.headers.items() if name not in dropped)
    return b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (request.method, request.target, framing, lines, extra)


def _lines(headers: Headers) -> bytes:
    """What of a head, or of trailers, is passed on."""
    if not headers:
        return b""
    dropped = _dropped(headers)
    return b"".join(header_line(name, value) for name, value in headers.items() if name not in dropped)


def _dropped(headers: Headers) -> frozenset[bytes]:
    """Fields of this connection: those that always are, and those that the message says are."""
    named = headers.get(_CONNECTION)
    if named is None or named in (b"close", b"keep-alive"):
        return _HOP_BY_HOP
    return _HOP_BY_HOP | {name.strip().lower() for name in named.split(b",")} - {b"host"}
