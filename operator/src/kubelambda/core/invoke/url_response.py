"""What a function returned, as the HTTP answer of its URL (§2.5.3, §2.5.4). Pure."""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BREAKS = re.compile(r"[\r\n\0]")
_OF_THE_CONNECTION: Final = frozenset(
    {"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_STATUS_MIN, _STATUS_MAX = 200, 599
BODILESS: Final = frozenset({204, 304})
"""Statuses of answers without a body."""


class NoResponse(Exception):
    """What the function returned is no HTTP answer: the caller gets a 502."""


@dataclass(frozen=True, slots=True)
class UrlResponse:
    """An HTTP answer. `headers` in order; names may come twice."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


INTERNAL_ERROR: Final = UrlResponse(502, (("Content-Type", JSON),), b"Internal Server Error")
"""Of a function error, and of a result that is no answer."""
FORBIDDEN: Final = UrlResponse(
    403,
    (("Content-Type", JSON), ("x-amzn-ErrorType", "AccessDeniedException")),
    b'{"Message":"Forbidden. For troubleshooting Function URL authorization issues, see: '
    b'https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"}',
)
"""Of a caller who may not."""
UNKNOWN: Final = UrlResponse(
    403, (("Content-Type", JSON), ("x-amzn-ErrorType", "AccessDeniedException")), b'{"Message":null}'
)
"""Of a host that is no function's."""


def url_response(result: bytes) -> UrlResponse:
    """The answer that a result means. Raises `NoResponse`."""
    try:
        found = json.loads(result) if result else None
    except (ValueError, RecursionError):
        return UrlResponse(200, (("Content-Type", JSON),), result)
    if isinstance(found, str):
        return UrlResponse(200, (("Content-Type", JSON),), _encoded(found))
    if not isinstance(found, dict) or "statusCode" not in found:
        return UrlResponse(200, (("Content-Type", JSON),), _compact(found))
    headers = tuple(_headers(found.get("headers")))
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers = (("Content-Type", JSON), *headers)
    status, body = _status(found["statusCode"]), _body(found)
    return UrlResponse(status, headers + tuple(_cookies(found.get("cookies"))), b"" if status in BODILESS else body)


def streamed_response(prelude: bytes, begun: bytes) -> UrlResponse:
    """The answer of a function that streams: its prelude has the head, and `begun` of its body is there (§2.4.3).

    Raises `NoResponse`.
    """
    try:
        found = json.loads(prelude)
    except (ValueError, RecursionError) as error:
        raise NoResponse("the prelude is no JSON, or nested too deeply") from error
    if not isinstance(found, dict):
        raise NoResponse("the prelude is no object")
    headers = tuple(_headers(found.get("headers")))
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers = (("Content-Type", BYTES), *headers)
    return UrlResponse(_status(found.get("statusCode", 200)), headers + tuple(_cookies(found.get("cookies"))), begun)


def _status(given: Any) -> int:
    if isinstance(given, str) and given.isascii() and given.isdecimal():
        given = int(given[:4])
    if not isinstance(given, int) or isinstance(given, bool) or not _STATUS_MIN <= given <= _STATUS_MAX:
        raise NoResponse(f"statusCode {given!r}")
    return given


def _headers(given: Any) -> Iterator[tuple[str, str]]:
    if given is None:
        return
    if not isinstance(given, Mapping):
        raise NoResponse("headers are no object")
    for name, value in given.items():
        if not _NAME.fullmatch(name):
            raise NoResponse(f"header {name!r}")
        if name.lower() not in _OF_THE_CONNECTION:
            yield name, _value(value)


def _cookies(given: Any) -> Iterator[tuple[str, str]]:
    if given is None:
        return
    if not isinstance(given, list):
        raise NoResponse("cookies are no list")
    for cookie in given:
        yield "Set-Cookie", _value(cookie)


def _value(given: Any) -> str:
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, int | float):
        return str(given)
    if not isinstance(given, str) or _BREAKS.search(given):
        raise NoResponse(f"header value {given!r}")
    return _encoded(given).decode()


def _body(found: Mapping[str, Any]) -> bytes:
    body = found.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        return _compact(body)
    if found.get("isBase64Encoded") is not True:
        return _encoded(body)
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoResponse("the body is not base64") from error


def _compact(value: Any) -> bytes:
    return _encoded(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def _encoded(text: str) -> bytes:
    """UTF-8; half a character of JavaScript's, which has no bytes of its own, becomes a question mark."""
    return text.encode(errors="replace")
