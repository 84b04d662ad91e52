"""One request on its way to the control API, and its answer on the way back: neither is ever held as a whole."""

from collections.abc import Callable

from kubelambda.wire.client import ClientConnection
from kubelambda.wire.flow import Headers
from kubelambda.wire.header_lines import header_line
from kubelambda.wire.server import Request

HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"expect", b"upgrade", b"te"}
)


class AnswerRelay:
    """Passes an answer on as it comes. `failed` is called with why when there is none."""

    def __init__(
        self,
        request: Request,
        connection: ClientConnection,
        done: Callable[[ClientConnection], None],
        failed: Callable[[str], None],
    ) -> None:
        self._request = request
        self._connection = connection
        self._done = done
        self._failed = failed
        self._begun = False

    def head(self, status: int, headers: Headers) -> None:
        """Status and headers."""
        self._begun = True
        lines = b"".join(header_line(name, value) for name, value in headers.items() if name not in HOP_BY_HOP)
        length = headers.get(b"content-length")
        self._request.begin(status, lines, length=int(length) if length else None, flow=self._connection)

    def data(self, data: bytes) -> None:
        """More of the body."""
        self._request.write(data)

    def end(self, trailers: Headers) -> None:  # noqa: ARG002 - none are sent
        """The answer is complete."""
        self._done(self._connection)
        self._request.end()

    def abort(self, why: str) -> None:
        """There will be no more of it."""
        if self._begun:
            self._request.abort()
        else:
            self._failed(why)


class Upload:
    """A body that is passed on as it comes; until there is a connection, its sender waits."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._connection: ClientConnection | None = None
        self._kept: list[bytes] = []
        self._complete = False
        self.given_up = False
        """Whether nobody waits for the answer any more."""

    def begin(self, head: bytes, connection: ClientConnection, relay: AnswerRelay, *, chunked: bool) -> None:
        """Sends what came so far, and lets the rest come. Raises `ConnectionError`."""
        connection.begin(head, relay, flow=self, chunked=chunked)
        self._connection = connection
        for data in self._kept:
            connection.write(data)
        self._kept.clear()
        if self._complete:
            connection.end()
        self._request.resume()

    def data(self, data: bytes) -> None:
        """Some of the body."""
        if self._connection is not None:
            self._connection.write(data)
        else:
            self._kept.append(data)
            self._request.pause()

    def end(self, trailers: Headers) -> None:  # noqa: ARG002 - none are passed on
        """The body is complete."""
        self._complete = True
        if self._connection is not None:
            self._connection.end()

    def abort(self, why: str) -> None:  # noqa: ARG002 - whoever would read it is gone
        """The caller is gone, or has its answer."""
        self.given_up = True
        self._kept.clear()
        if self._connection is not None:
            self._connection.cancel()

    def pause(self) -> None:
        """The control API does not read as quickly as the caller sends."""
        self._request.pause()

    def resume(self) -> None:
        """It reads again."""
        self._request.resume()

    def cancel(self) -> None:
        """Its connection ended: the relay says so."""
