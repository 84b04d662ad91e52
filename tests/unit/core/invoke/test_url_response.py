"""From what a function returns to an HTTP answer (§2.5.3)."""

import json
from typing import Any

import pytest

from kubelambda.core.invoke.url_response import NoResponse, url_response

DEFAULT = (("Content-Type", "application/json"),)


@pytest.mark.parametrize(
    ("result", "body"),
    [
        ("hello", b"hello"),
        ('say "hi"', b'say "hi"'),
        ({"message": "hi", "n": [1, 2]}, b'{"message":"hi","n":[1,2]}'),
        ([1, True, None], b"[1,true,null]"),
        (7, b"7"),
        (False, b"false"),
        (None, b"null"),
        ("é", "é".encode()),
        ({"é": 1}, '{"é":1}'.encode()),
        ("\ud800", b"?"),
    ],
)
def test_a_result_without_a_status_is_the_body(result: Any, body: bytes) -> None:
    """A string as it is, everything else as compact JSON."""
    found = url_response(json.dumps(result).encode())
    assert (found.status, found.headers, found.body) == (200, DEFAULT, body)


@pytest.mark.parametrize("result", [b"", b"no json", pytest.param(b"[" * 20_000 + b"]" * 20_000, id="deep")])
def test_a_result_that_is_no_json_is_passed_on(result: bytes) -> None:
    """Runtimes may answer what they like, and nest it as deep; of nothing the body is null."""
    assert url_response(result).body == (result or b"null")


@pytest.mark.parametrize(
    ("given", "status", "headers", "body"),
    [
        ({"statusCode": 201}, 201, DEFAULT, b""),
        ({"statusCode": "404", "body": "gone"}, 404, DEFAULT, b"gone"),
        (
            {"statusCode": 200, "headers": {"content-type": "text/html", "X-N": 1, "X-B": True}, "body": "<p>"},
            200,
            (("content-type", "text/html"), ("X-N", "1"), ("X-B", "true")),
            b"<p>",
        ),
        ({"statusCode": 200, "body": "aGk=", "isBase64Encoded": True}, 200, DEFAULT, b"hi"),
        ({"statusCode": 200, "body": "aGk=", "isBase64Encoded": False}, 200, DEFAULT, b"aGk="),
        ({"statusCode": 200, "body": {"a": 1}}, 200, DEFAULT, b'{"a":1}'),
        ({"statusCode": 204, "body": "nothing"}, 204, DEFAULT, b""),
        (
            {"statusCode": 200, "cookies": ["a=1; Secure", "b=2"]},
            200,
            (*DEFAULT, ("Set-Cookie", "a=1; Secure"), ("Set-Cookie", "b=2")),
            b"",
        ),
        ({"statusCode": 200, "headers": {"Content-Length": "9", "Connection": "close"}}, 200, DEFAULT, b""),
        (
            {"statusCode": 200, "headers": {"X-A": "\ud800"}, "cookies": ["a=\udfff"]},
            200,
            (*DEFAULT, ("X-A", "?"), ("Set-Cookie", "a=?")),
            b"",
        ),
        ({"statusCode": 200, "headers": None, "cookies": None, "body": None}, 200, DEFAULT, b""),
    ],
)
def test_a_result_with_a_status_is_an_answer(
    given: dict[str, Any], status: int, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    """Status, headers, a line for each cookie, and the body, decoded where it says that it is base64."""
    found = url_response(json.dumps(given).encode())
    assert (found.status, found.headers, found.body) == (status, headers, body)


@pytest.mark.parametrize(
    "given",
    [
        {"statusCode": "ok"},
        {"statusCode": 99},
        {"statusCode": 101},
        {"statusCode": 600},
        {"statusCode": "99999999999999"},
        {"statusCode": True},
        {"statusCode": None},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": {"a b": "x"}},
        {"statusCode": 200, "headers": {"": "x"}},
        {"statusCode": 200, "headers": {"X-A": {"b": 1}}},
        {"statusCode": 200, "headers": {"X-A": "1\r\nX-B: 2"}},
        {"statusCode": 200, "headers": {"X-A\r\nX-B": "2"}},
        {"statusCode": 200, "cookies": "a=1"},
        {"statusCode": 200, "cookies": [1, "a\nb"]},
        {"statusCode": 200, "body": "%%%", "isBase64Encoded": True},
        {"statusCode": 200, "body": "é", "isBase64Encoded": True},
    ],
)
def test_what_is_no_answer_is_an_error(given: dict[str, Any]) -> None:
    """The caller gets a 502 then, and no header that the function made up of two."""
    with pytest.raises(NoResponse):
        url_response(json.dumps(given).encode())
