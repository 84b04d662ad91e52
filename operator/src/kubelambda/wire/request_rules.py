"""The rules for heads that few clients send: versions, targets and hosts (RFC 9112 §2.3, §3.2)."""

import re

from kubelambda.wire.message import MessageRefused
from kubelambda.wire.request import Request

_ABSOLUTE = re.compile(rb"https?://([^/?#]+)([/?].*)?", re.IGNORECASE | re.DOTALL)


def check_unusual(request: Request, version: str) -> None:
    """Refuses what cannot be served, and gives an absolute target the form of all others. Raises `MessageRefused`."""
    if version not in ("1.0", "1.1"):
        raise MessageRefused(505, "this server speaks HTTP/1.1")
    if request.method == b"CONNECT":
        raise MessageRefused(501, "this is no proxy")
    if version == "1.0" and b"transfer-encoding" in request.headers:
        raise MessageRefused(400, "HTTP/1.0 has no Transfer-Encoding")
    if version == "1.1" and b"host" not in request.headers:
        raise MessageRefused(400, "the Host header is missing")
    request.headers.setdefault(b"host", b"")
    if request.target.startswith(b"/") or (request.target == b"*" and request.method == b"OPTIONS"):
        return
    absolute = _ABSOLUTE.fullmatch(request.target)
    if absolute is None:
        raise MessageRefused(400, "the target is neither a path nor an http URL")
    path = absolute[2] or b"/"
    request.headers[b"host"] = absolute[1]  # which counts more than the header (RFC 9112 §3.2.2)
    request.target = path if path.startswith(b"/") else b"/" + path
