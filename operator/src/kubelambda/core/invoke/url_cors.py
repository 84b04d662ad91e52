"""Cross-origin resource sharing of function URLs: what is answered without the function, and what of it (§2.5.6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kubelambda.core.invoke.url_response import UrlResponse

_ANY: Final = "*"
_PREFIX: Final = "access-control-"


@dataclass(frozen=True, slots=True)
class CorsRules:
    """The `cors` of a URL."""

    allow_credentials: bool = False
    allow_headers: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: int | None = None


def cors_rules(given: Mapping[str, Any]) -> CorsRules:
    """The rules of `spec.url.cors`."""
    return CorsRules(
        given.get("allowCredentials") is True,
        tuple(given.get("allowHeaders") or ()),
        tuple(given.get("allowMethods") or ()),
        tuple(given.get("allowOrigins") or ()),
        tuple(given.get("exposeHeaders") or ()),
        given.get("maxAge"),
    )


def preflight(rules: CorsRules, method: str, headers: Mapping[str, str]) -> UrlResponse | None:
    """The answer to a preflight request; None where the request is none. `headers` by names in small letters."""
    wanted = headers.get("access-control-request-method")
    origin = headers.get("origin")
    if method != "OPTIONS" or origin is None or wanted is None:
        return None
    found = _origin(rules, origin)
    if found:
        found += _list("Methods", rules.allow_methods) + _list("Headers", rules.allow_headers)
        if rules.max_age is not None:
            found.append(("Access-Control-Max-Age", str(rules.max_age)))
    return UrlResponse(200, tuple(found), b"")


def with_cors(rules: CorsRules | None, origin: str | None, response: UrlResponse) -> UrlResponse:
    """An answer with the headers that the rules give it, in place of those that the function gave it."""
    if rules is None:
        return response
    kept = [header for header in response.headers if not header[0].lower().startswith(_PREFIX)]
    found = _origin(rules, origin) if origin is not None else []
    if found and rules.expose_headers:
        found.append(("Access-Control-Expose-Headers", ",".join(rules.expose_headers)))
    return UrlResponse(response.status, (*kept, *found), response.body)


def _origin(rules: CorsRules, origin: str) -> list[tuple[str, str]]:
    """Headers for the page that asks; none for one that may not."""
    if not any(_fits(pattern, origin) for pattern in rules.allow_origins):
        return []
    if _ANY in rules.allow_origins and not rules.allow_credentials:
        return [("Access-Control-Allow-Origin", _ANY)]
    found = [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
    return [*found, ("Access-Control-Allow-Credentials", "true")] if rules.allow_credentials else found


def _fits(pattern: str, origin: str) -> bool:
    """Whether an origin is the one of a pattern: that itself, all, or all that begin as `https://*` says."""
    if pattern.endswith(_ANY):
        return origin.startswith(pattern[:-1])
    return pattern.lower() == origin.lower()


def _list(name: str, values: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"Access-Control-Allow-{name}", ",".join(values))] if values else []
