"""What runtimes send that official clients hardly ever do: broken and streamed answers (§3.1)."""

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

_API = "/2018-06-01/runtime"


class Runtime:
    """A runtime of the test's own, which writes every byte itself."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._socket = socket.create_connection(("127.0.0.1", environment.api_port), timeout=30)
        self._waiting: threading.Thread | None = None
        self.answer: Any = None

    def send(self, data: bytes) -> None:
        """Any bytes."""
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """One answer, body and all."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._socket.recv(65_536)
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self._socket.recv(65_536)
        return head + b"\r\n\r\n" + body

    def ask(self) -> None:
        """`/next`."""
        self.send(f"GET {_API}/invocation/next HTTP/1.1\r\nHost: api\r\n\r\n".encode())

    def invoked(self) -> bytes:
        """Begins an invocation, whose event comes here; gives its id."""

        def invoke() -> None:
            self.answer = self._environment.invoke({})

        self._waiting = threading.Thread(target=invoke)
        self._waiting.start()
        head = self.receive()
        return head.partition(b"Lambda-Runtime-Aws-Request-Id: ")[2].partition(b"\r\n")[0]

    def answered(self) -> Any:
        """What the caller got."""
        assert self._waiting is not None
        self._waiting.join()
        return self.answer

    def close(self) -> None:
        """In the middle of whatever it is."""
        self._socket.close()


@pytest.fixture
def runtime(provided: Any) -> Iterator[Runtime]:
    """A runtime whose environment has finished INIT."""
    with closing(Runtime(provided)) as found:
        answers: list[Any] = []
        started = provided.root / "started"
        bootstrap = {"bootstrap": f"#!/bin/sh\ntouch {started}\nexec sleep 1000\n"}
        specializing = threading.Thread(
            target=lambda: answers.append(provided.specialize(bootstrap, runtime="provided.al2023", timeout=20))
        )
        specializing.start()
        deadline = time.monotonic() + 90
        while not started.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        found.ask()
        specializing.join()
        assert answers[0].json["status"] == "ready"
        yield found


def _response(request_id: bytes, *headers: bytes) -> bytes:
    lines = [b"POST %b/invocation/%b/response HTTP/1.1" % (_API.encode(), request_id), b"Host: api", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


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
    runtime.send(_response(runtime.invoked(), header) + body)
    runtime.close()
    answer = runtime.answered()
    assert answer.headers["X-Amz-Function-Error"] == "Unhandled"
    assert answer.json["errorType"] == "Runtime.TruncatedResponse"


def test_an_environment_survives_a_response_that_broke_off(runtime: Runtime, provided: Any) -> None:
    """The runtime may ask for the next event on another connection."""
    runtime.send(_response(runtime.invoked(), b"Content-Length: 100"))
    runtime.close()
    runtime.answered()
    with closing(Runtime(provided)) as again:
        again.ask()
        again.send(_response(again.invoked(), b"Content-Length: 4") + b"true")
        assert again.answered().json is True


def test_a_streamed_response_arrives_whole(runtime: Runtime) -> None:
    """In chunks, with trailers announced and none sent."""
    request_id = runtime.invoked()
    headers = (b"Lambda-Runtime-Function-Response-Mode: streaming", b"Transfer-Encoding: chunked")
    runtime.send(_response(request_id, *headers))
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
        _response(
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
    runtime.send(_response(b"stale", b"Content-Length: 5000000") + bytes(5_000_000))
    assert runtime.receive().startswith(b"HTTP/1.1 400 ")
    runtime.send(_response(request_id, b"Content-Length: 4") + b"true")
    assert runtime.answered().json is True
