"""The event of a function URL: an HTTP request in payload format 2.0 (§2.5.2). Pure."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

_ROUTE: Final = "$default"
_TEXT: Final = frozenset(
    {
        "application/json",
        "application/javascript",
        "application/xml",
        "application/x-www-form-urlencoded",
    }
)
_NOT_PASSED_ON: Final = frozenset(
    {
        "connection",
        "cookie",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OURS: Final = "x-kubelambda-"
"""Headers between our own components: no function sees one."""


@dataclass(frozen=True, slots=True)
class UrlCaller:
    """Who called a URL of the type AWS_IAM."""

    arn: str
    account: str | None
    access_key: str = ""


@dataclass(frozen=True, slots=True)
class UrlRequest:
    """An HTTP request to a function URL."""

    method: str
    target: str
    """Path and query, as sent."""
    headers: Mapping[str, str]
    """By names in small letters."""
    body: bytes
    source_ip: str
    scheme: str
    host: str
    url_id: str
    request_id: str
    caller: UrlCaller | None = None


def url_event(request: UrlRequest, now: float) -> bytes:
    """The event that the function gets. `now` in seconds since the epoch."""
    path, _, query = request.target.partition("?")
    found: dict[str, Any] = {"version": "2.0", "routeKey": _ROUTE, "rawPath": path or "/", "rawQueryString": query}
    cookies = [each.strip() for each in request.headers.get("cookie", "").split(";") if each.strip()]
    if cookies:
        found["cookies"] = cookies
    found["headers"] = _headers(request)
    parameters = _parameters(query)
    if parameters:
        found["queryStringParameters"] = parameters
    found["requestContext"] = _context(request, path or "/", now)
    text = _text(request)
    if request.body:
        found["body"] = base64.b64encode(request.body).decode() if text is None else text
    found["isBase64Encoded"] = bool(request.body) and text is None
    return json.dumps(found, separators=(",", ":")).encode()


def _headers(request: UrlRequest) -> dict[str, str]:
    found = {
        name: value
        for name, value in request.headers.items()
        if name not in _NOT_PASSED_ON and not name.startswith(_OURS)
    }
    port = request.host.partition(":")[2] or ("443" if request.scheme == "https" else "80")
    return found | {
        "content-length": str(len(request.body)),
        "host": request.host,
        "x-forwarded-for": request.source_ip,
        "x-forwarded-port": port,
        "x-forwarded-proto": request.scheme,
    }


def _parameters(query: str) -> dict[str, str]:
    """Values of one name are joined by commas."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in found.items()}


def _context(request: UrlRequest, path: str, now: float) -> dict[str, Any]:
    domain = request.host.partition(":")[0]
    found: dict[str, Any] = {
        "accountId": (request.caller.account or "") if request.caller else "anonymous",
        "apiId": request.url_id,
        "domainName": domain,
        "domainPrefix": request.url_id,
        "http": {
            "method": request.method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.source_ip,
            "userAgent": request.headers.get("user-agent", ""),
        },
        "requestId": request.request_id,
        "routeKey": _ROUTE,
        "stage": _ROUTE,
        "time": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "timeEpoch": int(now * 1000),
    }
    if request.caller is not None:
        user = request.caller.arn.rpartition("/")[2]
        found["authorizer"] = {
            "iam": {
                "accessKey": request.caller.access_key,
                "accountId": request.caller.account or "",
                "callerId": user,
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": request.caller.arn,
                "userId": user,
            }
        }
    return found


def _text(request: UrlRequest) -> str | None:
    """The body as it stands in the event; None where it is no text, or does not say that it is."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (media_type in _TEXT or media_type.startswith("text/") or media_type.endswith(("+json", "+xml"))):
        return None
    try:
        return request.body.decode()
    except UnicodeDecodeError:
        return None
