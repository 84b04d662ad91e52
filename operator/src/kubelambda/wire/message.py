"""What readers of requests and of responses share: the fields of a message, and bounds on them."""

from typing import cast

import httptools

from kubelambda.api import limits
from kubelambda.wire.flow import Headers

FIELD_BYTES = 32
"""What a field counts beyond its bytes, as HTTP/2 counts it: many short ones take memory too."""
SMALL_HEAD_BYTES = 2_048
"""A head that came within so many raw bytes is too small to be counted, whatever fields it has."""
RAW_HEAD_MAX_BYTES = limits.HEADERS_MAX_BYTES + 65_536
"""The parser keeps a field until it is complete: nothing but the raw bytes bounds that."""
_LINE_BYTES = 4
"""Of every line of a head: those around a name and its value."""
_JOINED_MAX_BYTES = 8_192
NO_HEADERS: Headers = {}
"""Those of no message: never written to."""


class MessageRefused(Exception):
    """A message that is not read on. `status` is what a server answers."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def cause(error: httptools.HttpParserError) -> BaseException:
    """What a parser's callback raised, or the parser's own error."""
    context: BaseException | None = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
    return context if context is not None else cast("BaseException", error)


class MessageReader:
    """Collects the fields of one message after the other."""

    __slots__ = (
        "_fields",
        "_head_bytes",
        "_headers",
        "_raw",
        "_trailers",
    )

    def __init__(self) -> None:
        self._headers: Headers = NO_HEADERS
        self._trailers: Headers | None = None
        """Fields after the body; None as long as fields are headers."""
        self._fields: Headers = NO_HEADERS
        """Where the next field goes: the headers, or the trailers."""
        self._head_bytes = 0
        """What head and trailers count, once they are complete; 0 for a head when that is little."""
        self._raw = 0
        """Bytes since the beginning of the head, or since the last byte of body: of what the parser may be keeping."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser. Trailers never become headers (RFC 9110 §6.5.1)."""
        fields = self._fields
        name = name.lower()
        if name in fields:
            value = self._joined(name, fields[name], value)
        fields[name] = value

    def _count_head(self, target_bytes: int = 0) -> None:
        """The head is complete. Raises `MessageRefused` when it is too large."""
        self._head_bytes = target_bytes
        self._count(self._headers)

    def _count(self, fields: Headers) -> None:
        """These are complete: the head's, or trailers on top of it. Raises `MessageRefused` when it is too large."""
        self._head_bytes += FIELD_BYTES * len(fields) + sum(map(len, fields)) + sum(map(len, fields.values()))
        if self._head_bytes > limits.HEADERS_MAX_BYTES:
            raise too_large()

    @property
    def _incomplete_bytes(self) -> int:
        """What a head, or trailers, count that are not complete."""
        return self._raw + (FIELD_BYTES - _LINE_BYTES) * len(self._fields)

    def _joined(self, name: bytes, first: bytes, second: bytes) -> bytes:
        """The value of a field that comes twice (RFC 9110 §5.3)."""
        if name == b"host":
            raise MessageRefused(400, "more than one Host")
        if len(first) > _JOINED_MAX_BYTES:
            raise too_large()
        return first + (b"; " if name == b"cookie" else b", ") + second


def too_large() -> MessageRefused:
    """Request line and headers exceed `HEADERS_MAX_BYTES` (§2.1.3)."""
    return MessageRefused(431, "request line and headers are too large")
