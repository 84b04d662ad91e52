"""Passing a request through to another server, and its answer back, with nothing kept on the way but what is in flight.

Whoever reads slowly makes whoever sends wait: the caller the other server, and the other server the caller.
"""

import asyncio
from collections.abc import Callable

from kubelambda.wire.client import ClientConnection
from kubelambda.wire.flow import Flow, Headers
from kubelambda.wire.request import Request

_CONNECTION = b"connection"
_LENGTH = b"content-length"
_HOP_BY_HOP = frozenset(
    {_CONNECTION, b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", _LENGTH}
)
"""Fields of one connection, which nobody passes on (RFC 9110 §7.6.1); a length is told anew."""


class AnswerRelay:
    """The answer to one request, on its way back. It is whole in most cases, and is passed on in one piece then.

    `done` gets the connection back once the answer is complete; `failed` answers where nothing came. An answer that
    does not begin, or does not get on, for `seconds` is given up.
    """

    __slots__ = (
        "_answered",
        "_begun",
        "_connection",
        "_done",
        "_failed",
        "_length",
        "_lines",
        "_moved",
        "_paused",
        "_request",
        "_seconds",
        "_status",
        "_timer",
        "_whole",
        "over",
    )

    def __init__(
        self,
        request: Request,
        *,
        done: Callable[[ClientConnection], None],
        failed: Callable[[str], None],
        seconds: float | None = None,
        answered: Callable[[Headers], Headers] | None = None,
    ) -> None:
        """`answered` gets the headers of the answer, and its trailers, and returns those that are passed on."""
        self._answered = answered
        self._request = request
        self._done = done
        self._failed = failed
        self._seconds = seconds
        self._connection: ClientConnection | None = None
        self._begun = self._paused = self._moved = False
        self._whole = b""
        self._timer: asyncio.TimerHandle | None = None
        self.over = False
        """Whether nothing comes any more, or nobody waits for it."""

    def ask(self, connection: ClientConnection, head: bytes) -> None:
        """Sends the request, whose body is here; `head` as `relayed_head` makes it."""
        self._connection = connection
        try:
            connection.exchange(head, self._request.body, self)
        except ConnectionError as error:  # it ended just now
            self.abort(str(error))
            return
        if self._seconds is not None:
            self._expect()

    def ask_with(self, connection: ClientConnection, head: bytes, flow: Flow, *, chunked: bool) -> bool:
        """As `ask`, where the body follows. False when the connection has just ended."""
        self._connection = connection
        try:
            connection.begin(head, self, flow=flow, chunked=chunked)
        except ConnectionError as error:
            self.abort(str(error))
            return False
        if self._seconds is not None:
            self._expect()
        return True

    def give_back(self, connection: ClientConnection) -> None:
        """Nobody waits for the answer any more, and the connection was not used."""
        self._done(connection)

    def _expect(self) -> None:
        assert self._seconds is not None
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look)

    def _look(self) -> None:
        if self._moved or self._paused:  # the caller's reading has a deadline of its own
            self._moved = False
            self._expect()
        elif self._connection is not None:
            self._connection.abort()

    # -- what the client's connection calls ---------------------------------------------------------------------------

    def head(self, status: int, headers: Headers) -> None:
        """Called by the client's connection."""
        if self._answered is not None:
            headers = self._answered(headers)
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
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
        if trailers and self._answered is not None:
            trailers = self._answered(trailers)
        connection, self._connection = self._connection, None
        if connection is not None:
            self._done(connection)  # a caller who goes, or stops to read, has nothing to say about its next answer
        try:
            if not self._begun and not trailers and (self._length is None or self._length == len(self._whole)):
                self._request.respond(self._status, self._whole, self._lines)
            else:
                self._begin()
                self._request.end(_lines(trailers))
        except Exception:
            self._request.abort()  # whoever makes another answer of it could not: nobody may wait for ever
            raise

    def abort(self, why: str) -> None:
        """Called by the client's connection, or because there is none: there will be no more of the answer."""
        if self._timer is not None:
            self._timer.cancel()
        if self.over:
            return
        self.over = True
        if self._begun:
            self._request.abort()
        else:
            self._failed(why)

    # -- what the server's connection calls ---------------------------------------------------------------------------

    def pause(self) -> None:
        """Called by the server's connection: the caller reads too slowly."""
        self._paused = True
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Called by the server's connection."""
        self._paused = False
        self._moved = True
        if self._connection is not None:
            self._connection.resume()

    def cancel(self) -> None:
        """Called by the server's connection: the caller is gone."""
        self.over = True
        if self._connection is not None:
            self._connection.cancel()

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._request.begin(self._status, self._lines, length=self._length, flow=self)


class Relay:
    """A request whose body is still to come: the sink of that, to be returned by the hook at the request's head.

    Its sender waits until there is a connection, and whenever the other server does not read.
    """

    def __init__(self, request: Request, head: bytes, answer: AnswerRelay) -> None:
        """`head` as `relayed_head` makes it."""
        self._request = request
        self._head = head
        self._answer = answer
        self._connection: ClientConnection | None = None
        self._kept: list[bytes] = []
        self._complete = False
        self._trailers = b""

    def through(self, connection: ClientConnection) -> None:
        """Sends what came so far, and the rest as it comes."""
        if self._answer.over:
            self._answer.give_back(connection)
            return
        chunked = b"transfer-encoding" in self._request.headers
        if not self._answer.ask_with(connection, self._head, self, chunked=chunked):
            return
        self._connection = connection
        for data in self._kept:
            connection.write(data)
        self._kept.clear()
        if self._complete:
            connection.end(self._trailers)
        self._request.resume()

    def unreached(self, why: str) -> None:
        """There will be no connection."""
        self._kept.clear()
        self._answer.abort(why)

    # -- what the server's connection calls ---------------------------------------------------------------------------

    def data(self, data: bytes) -> None:
        """Called by the server's connection."""
        if self._connection is not None:
            self._connection.write(data)
        elif not self._answer.over:
            self._kept.append(data)
            self._request.pause()

    def end(self, trailers: Headers) -> None:
        """Called by the server's connection."""
        self._complete = True
        self._trailers = _lines(trailers)
        if self._connection is not None:
            self._connection.end(self._trailers)

    def abort(self, why: str) -> None:  # noqa: ARG002 - the other server need not know
        """Called by the server's connection: the caller is gone, or has its answer."""
        self._answer.over = True
        self._kept.clear()
        if self._connection is not None:
            self._connection.abort()

    # -- what the client's connection calls ---------------------------------------------------------------------------

    def pause(self) -> None:
        """Called by the client's connection: the other server does not read as quickly as the caller sends."""
        self._request.pause()

    def resume(self) -> None:
        """Called by the client's connection."""
        self._request.resume()

    def cancel(self) -> None:
        """Called by the client's connection: the other server is gone, or has answered. Its answer says which."""


def relayed_head(request: Request, extra: bytes = b"", *, length: int | None) -> bytes:
    """The head of a request as another server gets it; `length` None: the body comes in chunks.

    `extra` are whole lines, in place of fields of those names.
    """
    ours = {line.partition(b":")[0].lower() for line in extra.split(b"\r\n") if line}
    dropped = _dropped(request.headers) | ours | {b"expect"}
    framing = b"Transfer-Encoding: chunked\r\n" if length is None else b"Content-Length: %d\r\n" % length
    lines = _without(request.headers, dropped)
    return b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (request.method, request.target, framing, lines, extra)


def _lines(headers: Headers) -> bytes:
    """What of a head, or of trailers, is passed on."""
    if not headers:
        return b""
    return _without(headers, _dropped(headers))


def _without(headers: Headers, dropped: frozenset[bytes]) -> bytes:
    """Lines of fields as a parser gave them: none of them has a line break in it."""
    return b"".join([b"%b: %b\r\n" % field for field in headers.items() if field[0] not in dropped])


def _dropped(headers: Headers) -> frozenset[bytes]:
    """Fields of this connection: those that always are, and those that the message says are."""
    named = headers.get(_CONNECTION)
    if named is None or named in (b"close", b"keep-alive"):
        return _HOP_BY_HOP
    return _HOP_BY_HOP | {name.strip().lower() for name in named.split(b",")} - {b"host"}
