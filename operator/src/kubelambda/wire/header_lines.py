"""Header lines: made so that each stays one line, whatever is in its value, and read again."""

import re
from collections.abc import Mapping

_LINES = re.compile(rb"([^:\r\n]+): ([^\r\n]*)\r\n")
_BREAKS = re.compile(rb"[\r\n\0]+")
_LF, _CR, _NUL = b"\n\r\0"
"""Numbers: to look for bytes with `in` costs an exception each time, a microsecond; `find` has no such price."""


def clean(value: bytes) -> bytes:
    """The value of a field without line breaks and NUL: a space in place of each run of them (RFC 9110 §5.5)."""
    if _LF in value or _CR in value or _NUL in value:
        return _BREAKS.sub(b" ", value)
    return value


def header_line(name: bytes, value: bytes) -> bytes:
    """One whole line, ended by CRLF."""
    return b"%b: %b\r\n" % (name, clean(value))


def fields(lines: bytes) -> list[tuple[bytes, bytes]]:
    """Names and values of whole lines, as `header_line` makes them."""
    return _LINES.findall(lines)


def fields_of(lines: bytes) -> dict[bytes, bytes]:
    """Header lines, or trailers, by names in small letters."""
    return {name.lower(): value for name, value in fields(lines)}


def request_head(method: str, target: str, host: str, headers: Mapping[str, object], length: int | None) -> bytes:
    """Request line and headers. `length` None: the body comes in chunks. Raises `ValueError` for a broken line."""
    if any(ord(character) <= 32 for character in f"{method}{target}{host}"):
        raise ValueError(f"not a request line: {method} {target} at {host}")
    framing = b"Transfer-Encoding: chunked\r\n" if length is None else b"Content-Length: %d\r\n" % length
    lines = [f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n".encode(), framing]
    lines += [header_line(name.encode(), str(value).encode()) for name, value in headers.items()]
    return b"".join(lines) + b"\r\n"
