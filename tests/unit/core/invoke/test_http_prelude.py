"""Status and headers ahead of a streamed body (§2.4.3)."""

import json
from typing import Any

import pytest

from kubelambda.core.invoke.http_prelude import MOST_BYTES, HttpPrelude
from kubelambda.core.invoke.url_response import NoResponse, UrlResponse

END = bytes(8)


def fed(data: bytes, size: int) -> UrlResponse | None:
    """The answer, from pieces of so many bytes; what follows the first that completes it is left out."""
    prelude = HttpPrelude()
    for start in range(0, len(data), size):
        found = prelude.feed(data[start : start + size])
        if found is not None:
            return found
    return None


@pytest.mark.parametrize("size", [1, 3, 7, 8, 9, 1000])
def test_the_head_is_found_however_it_is_cut(size: int) -> None:
    """With as much of the body as came along."""
    given = {"statusCode": 201, "headers": {"Content-Type": "text/html", "X-A": 1}, "cookies": ["a=1", "b=2"]}
    found = fed(json.dumps(given).encode() + END + b"body", size)
    assert found is not None
    assert found.status == 201
    cookies = (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))
    assert found.headers == (("Content-Type", "text/html"), ("X-A", "1"), *cookies)
    assert b"body".startswith(found.body)
    assert size < 1000 or found.body == b"body"


def test_what_is_not_said_is_as_on_lambda() -> None:
    """A 200 of bytes."""
    found = fed(b"{}" + END, 100)
    assert found == UrlResponse(200, (("Content-Type", "application/octet-stream"),), b"")


@pytest.mark.parametrize(
    "prelude",
    [
        b"no JSON",
        b"[]",
        pytest.param(b"[" * 20_000, id="deep"),
        b'{"statusCode": "x"}',
        b'{"headers": {"a b": "c"}}',
        b'{"headers": {"a": "b\\nc"}}',
    ],
)
def test_what_is_no_head_is_no_answer(prelude: bytes) -> None:
    """Nothing of it reaches the caller."""
    with pytest.raises(NoResponse):
        HttpPrelude().feed(prelude + END)


def test_a_head_without_an_end_is_not_kept_for_ever() -> None:
    """Nor one that is longer than any client reads."""
    prelude = HttpPrelude()
    assert prelude.empty
    assert prelude.feed(b"x" * MOST_BYTES) is None
    assert not prelude.empty
    with pytest.raises(NoResponse):
        prelude.feed(b"x")
    body: dict[str, Any] = {"headers": {"x": "y" * MOST_BYTES}}
    with pytest.raises(NoResponse):
        HttpPrelude().feed(json.dumps(body).encode() + END)
