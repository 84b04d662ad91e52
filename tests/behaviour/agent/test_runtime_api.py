"""What runtimes send that official clients hardly ever do: broken and streamed answers (§3.1)."""

import base64
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from tests.behaviour.agent.raw_runtime import Runtime, initialized, response_head


@pytest.fixture
def runtime(provided: Any) -> Iterator[Runtime]:
    """A runtime whose environment has finished INIT."""
    with initialized(provided) as found:
        yield found


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"Content-Length: 100", b'{"half'),
        (b"Transfer-Encoding: chunked", b'6\r\n{"half\r\n'),
        (b"Content-Length: 1", b""),
    ],
)
def test_a_response_that_breaks_off_is_no_response(runtime: Runtime, header: bytes, body: bytes) -> None:
    """Half of a result must not pass for one, nor wait for the function's timeout."""
    runtime.send(response_head(runtime.invoked(), header) + body)
    runtime.close()
    answer = runtime.answered()
    assert answer.headers["X-Amz-Function-Error"] == "Unhandled"
    assert answer.json["errorType"] == "Runtime.TruncatedResponse"


def test_an_environment_survives_a_response_that_broke_off(runtime: Runtime, provided: Any) -> None:
    """The runtime may ask for the next event on another connection."""
    runtime.send(response_head(runtime.invoked(), b"Content-Length: 100"))
    runtime.close()
    runtime.answered()
    with closing(Runtime(provided)) as again:
        again.ask()
        again.send(response_head(again.invoked(), b"Content-Length: 4") + b"true")
        assert again.answered().json is True


def test_a_streamed_response_arrives_whole(runtime: Runtime) -> None:
    """In chunks, with trailers announced and none sent."""
    request_id = runtime.invoked()
    headers = (b"Lambda-Runtime-Function-Response-Mode: streaming", b"Transfer-Encoding: chunked")
    runtime.send(response_head(request_id, *headers))
    for piece in (b'{"a"', b": ", b"1}"):
        runtime.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    runtime.send(b"0\r\n\r\n")
    assert runtime.receive().startswith(b"HTTP/1.1 202 ")
    answer = runtime.answered()
    assert answer.json == {"a": 1}
    assert "X-Amz-Function-Error" not in answer.headers


@pytest.mark.parametrize(
    ("error_type", "expected"), [(b"Function.Broken", "Function.Broken"), (b"nonsense", "Function.Unknown")]
)
def test_an_error_in_the_trailers_is_the_answer(runtime: Runtime, error_type: bytes, expected: str) -> None:
    """A runtime that streams has no other way to say that it failed half way (§3.1.5)."""
    error = json.dumps({"errorType": expected, "errorMessage": "half way"}).encode()
    runtime.send(
        response_head(
            runtime.invoked(),
            b"Lambda-Runtime-Function-Response-Mode: streaming",
            b"Transfer-Encoding: chunked",
            b"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
        )
        + b"5\r\nhalf \r\n0\r\n"
        + b"Lambda-Runtime-Function-Error-Type: %b\r\n" % error_type
        + b"Lambda-Runtime-Function-Error-Body: %b\r\n\r\n" % base64.b64encode(error)
    )
    assert runtime.receive().startswith(b"HTTP/1.1 202 ")
    answer = runtime.answered()
    assert answer.headers["X-Amz-Function-Error"] == "Unhandled"
    assert answer.json == {"errorType": expected, "errorMessage": "half way"}


def test_a_stale_response_keeps_nothing_and_spoils_nothing(runtime: Runtime) -> None:
    """Its body is read and dropped, and the one that is waited for still counts."""
    request_id = runtime.invoked()
    runtime.send(response_head(b"stale", b"Content-Length: 5000000") + bytes(5_000_000))
    assert runtime.receive().startswith(b"HTTP/1.1 400 ")
    runtime.send(response_head(request_id, b"Content-Length: 4") + b"true")
    assert runtime.answered().json is True
