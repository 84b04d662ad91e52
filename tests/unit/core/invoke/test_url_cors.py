"""Cross-origin rules of function URLs (§2.5.6)."""

from typing import Any

import pytest

from kubelambda.core.invoke.url_cors import cors_rules, preflight, with_cors
from kubelambda.core.invoke.url_response import UrlResponse

ASKS = {"origin": "https://a.example", "access-control-request-method": "PUT"}
ALLOWED = ("Access-Control-Allow-Origin", "https://a.example")


@pytest.mark.parametrize(
    ("origins", "credentials", "headers"),
    [
        (["*"], False, [("Access-Control-Allow-Origin", "*")]),
        (["*"], True, [ALLOWED, ("Vary", "Origin"), ("Access-Control-Allow-Credentials", "true")]),
        (["https://a.example"], False, [ALLOWED, ("Vary", "Origin")]),
        (["HTTPS://A.example"], False, [ALLOWED, ("Vary", "Origin")]),
        (["https://*"], False, [ALLOWED, ("Vary", "Origin")]),
        (["http://*"], False, []),
        (["https://a.example.org"], False, []),
        ([], True, []),
    ],
)
def test_a_page_hears_whether_it_may(origins: list[str], credentials: bool, headers: list[tuple[str, str]]) -> None:
    """Before its request and with the answer; who may not hears nothing at all."""
    rules = cors_rules({"allowOrigins": origins, "allowCredentials": credentials})
    asked = preflight(rules, "OPTIONS", ASKS)
    assert asked is not None
    assert (asked.status, list(asked.headers), asked.body) == (200, headers, b"")
    answered = with_cors(rules, "https://a.example", UrlResponse(200, (("X-Own", "1"),), b"x"))
    assert list(answered.headers) == [("X-Own", "1"), *headers]


def test_a_preflight_tells_all_rules() -> None:
    """Methods, headers, and how long they may be remembered: 0 is a time, too."""
    given = {"allowOrigins": ["*"], "allowMethods": ["PUT", "GET"], "allowHeaders": ["X-A", "x-b"], "maxAge": 0}
    found = preflight(cors_rules(given), "OPTIONS", ASKS)
    assert found is not None
    assert found.headers[1:] == (
        ("Access-Control-Allow-Methods", "PUT,GET"),
        ("Access-Control-Allow-Headers", "X-A,x-b"),
        ("Access-Control-Max-Age", "0"),
    )


@pytest.mark.parametrize(
    ("method", "headers"), [("GET", ASKS), ("OPTIONS", {}), ("OPTIONS", {"origin": "https://a.example"})]
)
def test_other_requests_are_the_functions(method: str, headers: dict[str, str]) -> None:
    """OPTIONS too, when no page asks."""
    assert preflight(cors_rules({"allowOrigins": ["*"]}), method, headers) is None


def test_the_rules_count_and_not_what_the_function_says() -> None:
    """Its own headers of that kind stay only where the URL has no rules."""
    said: dict[str, Any] = {"headers": (("access-control-allow-origin", "evil"), ("X-Own", "1"))}
    answer = UrlResponse(200, said["headers"], b"")
    rules = cors_rules({"allowOrigins": ["*"], "exposeHeaders": ["X-Own", "Date"]})
    exposed = ("Access-Control-Expose-Headers", "X-Own,Date")
    assert with_cors(rules, "https://a.example", answer).headers == (
        ("X-Own", "1"),
        ("Access-Control-Allow-Origin", "*"),
        exposed,
    )
    assert with_cors(rules, None, answer).headers == (("X-Own", "1"),)
    assert with_cors(None, "https://a.example", answer) is answer
