"""One request of a server's connection, and the ways to answer it."""

from dataclasses import dataclass, field
from typing import Protocol

from kubelambda.wire.flow import Flow, Headers


class Answering(Protocol):
    """The connection that a request came on; what is said here of any other request than its present one is lost."""

    lasting: bool
    """Whether the connection may be idle for ever."""
    relaying: bool
    """Whether its client passes answers on, to callers whose reading it watches itself."""

    @property
    def peer(self) -> str:
        """Address of the other side; empty where nobody knows it."""
        ...

    def respond(self, request: "Request", status: int, body: bytes, headers: bytes) -> None:
        """See `Request.respond`, as all of these."""

    def begin(self, request: "Request", status: int, headers: bytes, length: int | None, flow: Flow | None) -> None:
        """Begins to answer."""

    def write(self, request: "Request", data: bytes) -> None:
        """More of the answer's body."""

    def end(self, request: "Request", trailers: bytes) -> None:
        """The answer is complete."""

    def abort(self, request: "Request") -> None:
        """There will be no more of the answer."""

    def pause(self, request: "Request") -> None:
        """Reads no more of a streamed body for now."""

    def resume(self, request: "Request") -> None:
        """Reads on."""

    def serves(self, request: "Request") -> bool:
        """Whether the caller waits for the answer."""
        ...


@dataclass(slots=True, eq=False)
class Request:
    """A request, complete unless its body is streamed. Answered once: whole, or as a head, data and an end or an abort.

    All of it does nothing once the caller is gone or has its answer.
    """

    connection: Answering
    method: bytes
    target: bytes
    headers: Headers
    body: bytes
    size: int
    """Bytes of the body: at the head as announced, 0 for one in chunks; of a complete request as sent.

    Of one over its limit, `body` holds nothing, and `size` may be what came so far.
    """
    trailers: Headers = field(default_factory=dict)

    def respond(self, status: int, body: bytes = b"", headers: bytes = b"") -> None:
        """Answers. `headers` are whole lines, each ended by CRLF (`header_lines`)."""
        self.connection.respond(self, status, body, headers)

    def begin(self, status: int, headers: bytes = b"", *, length: int | None = None, flow: Flow | None = None) -> None:
        """Begins to answer. `flow` is told when the caller reads too slowly, and when it can take more."""
        self.connection.begin(self, status, headers, length, flow)

    def write(self, data: bytes) -> None:
        """More of the answer's body."""
        self.connection.write(self, data)

    def end(self, trailers: bytes = b"") -> None:
        """The answer is complete. `trailers` are whole lines, and lost where the answer is not sent in chunks."""
        self.connection.end(self, trailers)

    def abort(self) -> None:
        """There will be no more of the answer: the caller finds it cut off."""
        self.connection.abort(self)

    def pause(self) -> None:
        """Reads no more of a streamed body for now; a little may still come."""
        self.connection.pause(self)

    def resume(self) -> None:
        """Reads on."""
        self.connection.resume(self)

    @property
    def alive(self) -> bool:
        """Whether the caller waits for the answer."""
        return self.connection.serves(self)
