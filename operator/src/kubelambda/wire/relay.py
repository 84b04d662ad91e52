"""Passing a request through to another server, and its answer back, with nothing kept on the way but what is in flight.

Whoever reads slowly makes whoever sends wait: the caller the other server, and the other server the caller.
"""

from collections.abc import Callable

from kubelambda.wire.client import ClientConnection
from kubelambda.wire.flow import Headers
from kubelambda.wire.header_lines import header_line
from kubelambda.wire.request import Request

_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
"""Fields of one connection, which nobody passes on (RFC 9110 §7.6.1)."""


class Relay:
    """One request on its way through. It is the sink of the request's body, to be returned by the hook at its head."""

    def __init__(
        self,
        request: Request,
        connection: ClientConnection,
        head: bytes,
        *,
        done: Callable[[ClientConnection], None],
        failed: Callable[[str], None],
    ) -> None:
        """`head` as `relayed_head` makes it. `done` gets the connection back; `failed` answers where nothing came."""
        self._request = request
        self._connection = connection
        self._done = done
        self._failed = failed
        chunked = b"transfer-encoding" in request.headers
        self._sent = False
        self._over = False
        connection.begin(head, _Back(self, request, connection), flow=_Caller(request, connection), chunked=chunked)

    def data(self, data: bytes) -> None:
        """Called by the server's connection."""
        self._connection.write(data)

    def end(self, trailers: Headers) -> None:
        """Called by the server's connection."""
        self._sent = True
        self._connection.end(_lines(trailers))

    def abort(self, why: str) -> None:  # noqa: ARG002 - the other server need not know
        """Called by the server's connection: the caller is gone, or has its answer."""
        self._connection.abort()

    def answered(self) -> None:
        """The answer is complete."""
        self._over = True
        if self._sent:
            self._done(self._connection)

    def lost(self, why: str, *, begun: bool) -> None:
        """There will be no more of the answer."""
        if self._over:
            return
        self._over = True
        if begun:
            self._request.abort()
        else:
            self._failed(why)


class _Caller:
    """The caller, who sends the body: waits while the other server does not take it."""

    def __init__(self, request: Request, connection: ClientConnection) -> None:
        self._connection = connection
        self.pause = request.pause
        self.resume = request.resume

    def cancel(self) -> None:
        """The other server is gone, or has answered: what still comes is nobody's."""


class _Back:
    """The way of the answer. It is whole in most cases, and is passed on in one piece then."""

    def __init__(self, relay: Relay, request: Request, connection: ClientConnection) -> None:
        self._relay = relay
        self._request = request
        self._connection = connection
        self._status = 0
        self._lines = b""
        self._length: int | None = None
        self._begun = False
        self._whole = b""

    def head(self, status: int, headers: Headers) -> None:
        """Called by the client's connection."""
        length = headers.get(b"content-length")
        self._status = status
        self._length = int(length) if length is not None and length.isdigit() else None
        self._lines = _lines(headers)

    def data(self, data: bytes) -> None:
        """Called by the client's connection."""
        if not self._begun and self._length == len(data):
            self._whole = data
            return
        self._begin()
        self._request.write(data)

    def end(self, trailers: Headers) -> None:
        """Called by the client's connection."""
        self._relay.answered()
        if not self._begun and self._length in (len(self._whole), None):
            self._request.respond(self._status, self._whole, self._lines)
            return
        self._begin()
        self._request.end(_lines(trailers))

    def abort(self, why: str) -> None:
        """Called by the client's connection."""
        self._relay.lost(why, begun=self._begun)

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._request.begin(self._status, self._lines, length=self._length, flow=self._connection)


def relayed_head(request: Request, extra: bytes = b"") -> bytes:
    """The head of a request as another server gets it. `extra` are whole lines, in place of fields of those names."""
    ours = {line.partition(b":")[0].lower() for line in extra.split(b"\r\n") if line}
    fields = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP | ours | {b"expect"}}
    framing = b"Transfer-Encoding: chunked\r\n" if b"transfer-encoding" in request.headers else b""
    lines = b"".join(header_line(name, value) for name, value in fields.items())
    return b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (request.method, request.target, lines, framing, extra)


def _lines(headers: Headers) -> bytes:
    """What of a head is passed on; its length is told anew."""
    return b"".join(
        header_line(name, value)
        for name, value in headers.items()
        if name not in _HOP_BY_HOP and name != b"content-length"
    )
