"""What stands before the connection of one request: whoever changes or watches an answer begins with this."""

from kubelambda.wire.flow import Flow
from kubelambda.wire.request import Answering, Request


class PassingAnswer:
    """Does as the connection does."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Answering) -> None:
        self._connection = connection

    @property
    def lasting(self) -> bool:
        """That of the connection, as everything here."""
        return self._connection.lasting

    @lasting.setter
    def lasting(self, value: bool) -> None:
        self._connection.lasting = value

    @property
    def relaying(self) -> bool:
        """That of the connection."""
        return self._connection.relaying

    @relaying.setter
    def relaying(self, value: bool) -> None:
        self._connection.relaying = value

    @property
    def peer(self) -> str:
        """Address of the other side."""
        return self._connection.peer

    def respond(self, request: Request, status: int, body: bytes, headers: bytes) -> None:
        """The whole answer."""
        self._connection.respond(request, status, body, headers)

    def begin(self, request: Request, status: int, headers: bytes, length: int | None, flow: Flow | None) -> None:
        """Begins to answer."""
        self._connection.begin(request, status, headers, length, flow)

    def write(self, request: Request, data: bytes) -> None:
        """More of the answer's body."""
        self._connection.write(request, data)

    def end(self, request: Request, trailers: bytes) -> None:
        """The answer is complete."""
        self._connection.end(request, trailers)

    def abort(self, request: Request) -> None:
        """There will be no more of the answer."""
        self._connection.abort(request)

    def pause(self, request: Request) -> None:
        """Reads no more of a streamed body for now."""
        self._connection.pause(request)

    def resume(self, request: Request) -> None:
        """Reads on."""
        self._connection.resume(request)

    def serves(self, request: Request) -> bool:
        """Whether the caller waits for the answer."""
        return self._connection.serves(request)
