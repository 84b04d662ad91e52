"""What comes ahead of the body where a function streams an HTTP answer: status and headers as JSON (§2.4.3). Pure."""

from typing import Final

from kubelambda.core.invoke.url_response import NoResponse, UrlResponse, streamed_response

CONTENT_TYPE: Final = b"application/vnd.awslambda.http-integration-response"
_END: Final = bytes(8)
"""Between the prelude and the body: no JSON has a NUL in it."""
MOST_BYTES: Final = 262_144


class HttpPrelude:
    """Reads on until the prelude is complete."""

    __slots__ = ("_read",)

    def __init__(self) -> None:
        self._read = bytearray()

    @property
    def empty(self) -> bool:
        """Whether nothing came at all."""
        return not self._read

    def feed(self, data: bytes) -> UrlResponse | None:
        """Takes what comes; returns the answer, with what of its body came along, or None before its head is complete.

        Raises `NoResponse` for what is no prelude.
        """
        start = max(0, len(self._read) - len(_END))
        self._read += data
        end = self._read.find(_END, start)
        if end < 0 and len(self._read) <= MOST_BYTES:
            return None
        if not 0 <= end <= MOST_BYTES:
            raise NoResponse(f"no end of the prelude within {MOST_BYTES} bytes")
        return streamed_response(bytes(self._read[:end]), bytes(self._read[end + len(_END) :]))
