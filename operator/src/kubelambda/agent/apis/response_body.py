"""The body of a runtime's `/response` as it comes: kept up to the limit, and missed when it breaks off (§3.1.5)."""

from collections.abc import Callable

from kubelambda.api import limits
from kubelambda.wire.flow import Headers
from kubelambda.wire.server import Request


class ResponseBody:
    """A `BodySink`. `complete` gets the request with its body and trailers; `broken_off` hears that it has no end."""

    __slots__ = ("_body", "_broken_off", "_complete", "_request", "_size")

    def __init__(self, request: Request, complete: Callable[[Request], None], broken_off: Callable[[], None]) -> None:
        self._request = request
        self._complete = complete
        self._broken_off = broken_off
        self._body: bytes | bytearray = b""
        self._size = 0

    def data(self, data: bytes) -> None:
        """Some of the body. What exceeds the limit is counted and dropped."""
        self._size += len(data)
        if self._size > limits.RESPONSE_MAX_BYTES:
            self._body = b""
        elif not self._body:
            self._body = data
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += data

    def end(self, trailers: Headers) -> None:
        """All of it came."""
        request = self._request
        request.body = self._body if isinstance(self._body, bytes) else bytes(self._body)
        request.size = self._size
        request.trailers = trailers
        self._complete(request)

    def abort(self, why: str) -> None:  # noqa: ARG002 - that it ended is enough
        """The rest will never come."""
        self._broken_off()
