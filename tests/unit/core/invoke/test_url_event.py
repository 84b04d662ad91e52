"""Payload format 2.0: what the function behind a URL gets (§2.5.2)."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from kubelambda.core.invoke.url_event import UrlCaller, UrlRequest, url_event

REQUEST = UrlRequest(
    method="GET",
    target="/",
    headers={},
    body=b"",
    source_ip="203.0.113.7",
    scheme="https",
    host="abc.lambda-url.us-east-1.lambda.internal",
    url_id="abc",
    request_id="0a-1",
)
NOW = 1_583_348_638.39


def event(**change: Any) -> dict[str, Any]:
    """The event of a request that differs from a plain one by `change`."""
    found: dict[str, Any] = json.loads(url_event(replace(REQUEST, **change), NOW))
    return found


def test_a_plain_request() -> None:
    """Every member that AWS sends, and none of those that it leaves out."""
    host = REQUEST.host
    assert event(headers={"user-agent": "curl/8"}) == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {
            "user-agent": "curl/8",
            "content-length": "0",
            "host": host,
            "x-forwarded-for": "203.0.113.7",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abc",
            "domainName": host,
            "domainPrefix": "abc",
            "http": {
                "method": "GET",
                "path": "/",
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "curl/8",
            },
            "requestId": "0a-1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "04/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1_583_348_638_390,
        },
        "isBase64Encoded": False,
    }


@pytest.mark.parametrize(
    ("target", "path", "query", "parameters"),
    [
        ("/a/b?x=1&x=2&y=%20z&empty=", "/a/b", "x=1&x=2&y=%20z&empty=", {"x": "1,2", "y": " z", "empty": ""}),
        ("/a%2Fb", "/a%2Fb", "", None),
        ("/?", "/", "", None),
        ("?a=b", "/", "a=b", {"a": "b"}),
        ("/p?q=a+b&r=%C3%A9", "/p", "q=a+b&r=%C3%A9", {"q": "a b", "r": "é"}),
        ("/p?q=%FF", "/p", "q=%FF", {"q": "\ufffd"}),
    ],
)
def test_path_and_query(target: str, path: str, query: str, parameters: dict[str, str] | None) -> None:
    """Both as they were sent; of the parameters the values, joined by commas where a name comes twice."""
    found = event(target=target)
    assert (found["rawPath"], found["requestContext"]["http"]["path"]) == (path, path)
    assert (found["rawQueryString"], found.get("queryStringParameters")) == (query, parameters)


@pytest.mark.parametrize(
    ("media_type", "body", "text"),
    [
        ("application/json", b'{"a": 1}', '{"a": 1}'),
        ("application/json; charset=utf-8", "é".encode(), "é"),
        ("text/plain", b"hi", "hi"),
        ("application/problem+json", b"{}", "{}"),
        ("image/svg+xml", b"<svg/>", "<svg/>"),
        ("application/x-www-form-urlencoded", b"a=b", "a=b"),
        ("application/octet-stream", b"hi", None),
        ("", b"hi", None),
        ("text/plain", b"\xff", None),
    ],
)
def test_a_body_is_text_where_it_says_so(media_type: str, body: bytes, text: str | None) -> None:
    """And base64 otherwise, also where it is not the text that it says."""
    found = event(method="POST", headers={"content-type": media_type} if media_type else {}, body=body)
    assert found["isBase64Encoded"] == (text is None)
    assert found["body"] == (base64.b64encode(body).decode() if text is None else text)
    assert found["headers"]["content-length"] == str(len(body))


def test_cookies_are_apart_from_headers() -> None:
    """One entry each; headers of the connection, and those of our own components, are nobody's."""
    headers = {"cookie": "a=1; b=2;", "connection": "close", "x-kubelambda-caller": "frontend", "x-own": "v"}
    found = event(headers=headers)
    assert found["cookies"] == ["a=1", "b=2"]
    assert not {"cookie", "connection", "x-kubelambda-caller"} & found["headers"].keys()
    assert found["headers"]["x-own"] == "v"


def test_a_caller_cannot_say_where_it_comes_from() -> None:
    """What it sends in these headers is replaced; a port that is in the host is told."""
    lies = {"x-forwarded-for": "1.2.3.4", "x-forwarded-proto": "gopher", "x-forwarded-port": "1"}
    found = event(headers=lies, host="abc.example:8080", scheme="http")
    assert found["headers"]["x-forwarded-for"] == "203.0.113.7"
    assert found["headers"]["x-forwarded-proto"] == "http"
    assert found["headers"]["x-forwarded-port"] == "8080"
    assert found["requestContext"]["domainName"] == "abc.example"


def test_a_known_caller_is_in_the_context() -> None:
    """As IAM's authorizer shows it; its account is that of the context."""
    caller = UrlCaller("arn:aws:iam::111111111111:user/ann", "111111111111", "AKIDANN")
    context = event(caller=caller)["requestContext"]
    assert context["accountId"] == "111111111111"
    assert context["authorizer"] == {
        "iam": {
            "accessKey": "AKIDANN",
            "accountId": "111111111111",
            "callerId": "ann",
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": "arn:aws:iam::111111111111:user/ann",
            "userId": "ann",
        }
    }
