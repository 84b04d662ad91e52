"""Responses that a caller takes as they come, from a runtime that writes every byte itself (§3.1.5, §2.4.2)."""

import base64
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from tests.behaviour.agent.environment import TOKEN
from tests.behaviour.agent.raw_runtime import API, Runtime, initialized, response_head

MEGABYTE = 1 << 20
FREELY = "209715200,6291456,0"
"""As Lambda bounds a stream, and as quickly as it goes."""
_STREAMED = (b"Lambda-Runtime-Function-Response-Mode: streaming", b"Transfer-Encoding: chunked")


class Caller:
    """A frontend whose caller takes the answer as it comes."""

    def __init__(
        self, environment: Any, *, bounds: str = FREELY, request_id: str = "streamed-1", tail: bool = False
    ) -> None:
        self._socket = socket.create_connection(("127.0.0.1", environment.port), timeout=60)
        self._file = self._socket.makefile("rb")
        self.trailers: dict[str, str] = {}
        lines = ["POST /invoke HTTP/1.1", "Host: agent", f"Authorization: Bearer {TOKEN}", "Content-Length: 2"]
        lines += [f"X-Amzn-RequestId: {request_id}", f"X-Kubelambda-Stream: {bounds}"]
        lines += ["X-Amz-Log-Type: Tail"] if tail else []
        self._socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n{}")

    def fields(self) -> dict[str, str]:
        """Those up to the next empty line."""
        found: dict[str, str] = {}
        while line := self._file.readline().decode().strip():
            name, _, value = line.partition(": ")
            found[name.lower()] = value
        return found

    def chunk(self) -> bytes:
        """The next one. After the last, which has nothing in it, `trailers` are there."""
        size = int(self._file.readline(), 16)
        if not size:
            self.trailers = self.fields()
            return b""
        found = self._file.read(size)
        self._file.readline()
        return found

    def rest(self) -> bytes:
        """All chunks that still come."""
        found = bytearray()
        while data := self.chunk():
            found += data
        return bytes(found)

    @property
    def error(self) -> Any:
        """What the trailers say went wrong."""
        assert self.trailers["x-amz-function-error"] == "Unhandled"
        return json.loads(base64.b64decode(self.trailers["x-kubelambda-error-body"]))

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        return not select.select([self._socket], [], [], seconds)[0]

    def body(self, size: int) -> bytes:
        """That of an answer which is none in chunks."""
        return self._file.read(size)

    def close(self) -> None:
        """Goes away."""
        self._file.close()
        self._socket.close()


@pytest.fixture
def runtime(provided: Any) -> Iterator[Runtime]:
    """A runtime whose environment has finished INIT."""
    with initialized(provided) as found:
        yield found


@pytest.fixture
def call(provided: Any) -> Iterator[Callable[..., Caller]]:
    """Makes callers."""
    made: list[Caller] = []

    def calling(**how: Any) -> Caller:
        made.append(Caller(provided, **how))
        return made[-1]

    yield calling
    for caller in made:
        caller.close()


def chunk(data: bytes) -> bytes:
    """As HTTP frames it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def begin(runtime: Runtime, *headers: bytes) -> bytes:
    """Begins to answer the event that comes; gives the id of its invocation."""
    request_id = runtime.delivered()
    runtime.send(response_head(request_id, *_STREAMED, *headers))
    return request_id


def test_every_piece_is_passed_on_as_it_comes(runtime: Runtime, call: Callable[..., Caller]) -> None:
    """The next one is sent only once the caller has the one before; at the end the trailers say the rest."""
    caller = call(tail=True)
    begin(runtime, b"Content-Type: text/x-slow")
    runtime.send(chunk(b"first"))
    head = caller.fields()
    assert head["content-type"] == "text/x-slow"
    assert caller.chunk() == b"first"
    for piece in (b"second", b"\0" * 100_000):
        runtime.send(chunk(piece))
        found = b""
        while len(found) < len(piece):
            found += caller.chunk()
        assert found == piece
    runtime.send(b"0\r\n\r\n")
    assert caller.chunk() == b""
    assert int(caller.trailers["x-kubelambda-billed-ms"]) > 0
    assert "x-amz-function-error" not in caller.trailers
    assert "REPORT RequestId: streamed-1\t" in base64.b64decode(caller.trailers["x-amz-log-result"]).decode()
    assert runtime.receive().startswith(b"HTTP/1.1 202 ")


def test_a_caller_that_reads_slowly_makes_the_runtime_wait(runtime: Runtime, call: Callable[..., Caller]) -> None:
    """Sixty-four megabytes are sent once somebody reads them, and not before."""
    caller = call()
    begin(runtime)
    sent = [0]

    def send() -> None:
        for _ in range(64):
            runtime.send(chunk(bytes(MEGABYTE)))
            sent[0] += 1
        runtime.send(b"0\r\n\r\n")

    sending = threading.Thread(target=send)
    sending.start()
    before = -1
    while before != sent[0]:
        before = sent[0]
        time.sleep(1.5)
    assert sent[0] < 64
    caller.fields()
    assert len(caller.rest()) == 64 * MEGABYTE
    sending.join()
    assert runtime.receive().startswith(b"HTTP/1.1 202 ")


def test_a_function_goes_on_without_its_caller(runtime: Runtime, call: Callable[..., Caller], provided: Any) -> None:
    """What it sends is lost; its invocation ends with its answer, and the environment takes the next one."""
    caller = call()
    request_id = begin(runtime)
    runtime.send(chunk(b"first"))
    caller.fields()
    assert caller.chunk() == b"first"
    caller.close()
    for _ in range(16):
        runtime.send(chunk(bytes(MEGABYTE)))
    assert provided.state()["requestId"] == request_id.decode()
    runtime.send(b"0\r\n\r\n")
    assert runtime.receive().startswith(b"HTTP/1.1 202 ")
    assert provided.state()["busy"] is False
    runtime.ask()
    runtime.send(response_head(runtime.invoked(), b"Content-Length: 4") + b"true")
    assert runtime.answered().json is True


def test_a_stream_has_a_greatest_length(runtime: Runtime, call: Callable[..., Caller]) -> None:
    """What is more is an error, of which the caller hears at the end of what was within the bounds."""
    caller = call(bounds="100000,100000,0")
    begin(runtime)
    runtime.send(chunk(b"a" * 60_000))
    caller.fields()
    found = b""
    while len(found) < 60_000:
        found += caller.chunk()
    runtime.send(chunk(b"b" * 60_000))
    assert len(found + caller.rest()) <= 100_000
    assert caller.error["errorType"] == "Function.ResponseSizeTooLarge"
    assert "(100000 bytes)" in caller.error["errorMessage"]


def test_after_its_burst_a_stream_goes_no_quicker_than_it_may(runtime: Runtime, call: Callable[..., Caller]) -> None:
    """Ten times the burst at once are ten seconds' worth: what follows has to wait."""
    caller = call(bounds="1000000,1000,1000")
    begin(runtime)
    runtime.send(chunk(b"a" * 11_000))
    caller.fields()
    found = b""
    while len(found) < 11_000:
        found += caller.chunk()
    runtime.send(chunk(b"later"))
    assert caller.silent(1.5)


def test_a_timeout_in_the_middle_is_told_at_the_end(provided: Any, call: Callable[..., Caller]) -> None:
    """The caller keeps what it has."""
    with initialized(provided, timeout=6) as runtime:
        caller = call()
        begin(runtime)
        runtime.send(chunk(b"first"))
        caller.fields()
        assert caller.rest() == b"first"
        assert caller.error["errorType"] == "Sandbox.Timedout"
        assert caller.error["errorMessage"].endswith("Task timed out after 6.00 seconds")


def test_a_stream_that_breaks_off_is_an_error(runtime: Runtime, call: Callable[..., Caller]) -> None:
    """The end of the runtime's connection is not that of its answer."""
    caller = call()
    begin(runtime)
    runtime.send(chunk(b"first") + b"10\r\nhalf")
    caller.fields()
    assert caller.chunk() == b"first"
    runtime.close()
    caller.rest()
    assert caller.error["errorType"] == "Runtime.TruncatedResponse"


@pytest.mark.parametrize("begun", [b"", b"half "])
def test_an_error_in_the_trailers_is_told(runtime: Runtime, call: Callable[..., Caller], begun: bytes) -> None:
    """At the end of what was sent; of nothing it is the answer, as if nobody had wanted a stream."""
    caller = call()
    begin(runtime, b"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body")
    error = {"errorType": "Function.Broken", "errorMessage": "half way"}
    runtime.send(
        (chunk(begun) if begun else b"")
        + b"0\r\nLambda-Runtime-Function-Error-Type: Function.Broken\r\n"
        + b"Lambda-Runtime-Function-Error-Body: %b\r\n\r\n" % base64.b64encode(json.dumps(error).encode())
    )
    head = caller.fields()
    if begun:
        assert caller.rest() == begun
        assert caller.error == error
    else:
        assert head["x-amz-function-error"] == "Unhandled"
        assert json.loads(caller.body(int(head["content-length"]))) == error


def test_what_has_begun_can_only_be_ended(runtime: Runtime, call: Callable[..., Caller], provided: Any) -> None:
    """Neither an error of its own nor a second response counts any more, and the first one goes on."""
    caller = call()
    request_id = begin(runtime)
    runtime.send(chunk(b"first"))
    caller.fields()
    assert caller.chunk() == b"first"
    error = f"POST {API}/invocation/{request_id.decode()}/error HTTP/1.1\r\nHost: api\r\nContent-Length: 2\r\n\r\n{{}}"
    for late in (error.encode(), response_head(request_id, *_STREAMED) + b"5\r\nagain\r\n0\r\n\r\n"):
        with closing(Runtime(provided)) as another:
            another.send(late)
            refused = another.receive()
            assert refused.startswith(b"HTTP/1.1 403 ")
            assert b"State transition from InvocationResponse to " in refused
    runtime.send(chunk(b"last") + b"0\r\n\r\n")
    assert caller.rest() == b"last"
    assert "x-amz-function-error" not in caller.trailers


def test_a_stream_of_nothing_is_one(runtime: Runtime, call: Callable[..., Caller]) -> None:
    """Its content type is told."""
    caller = call()
    begin(runtime, b"Content-Type: text/plain")
    runtime.send(b"0\r\n\r\n")
    assert caller.fields()["content-type"] == "text/plain"
    assert caller.rest() == b""
    assert "x-kubelambda-billed-ms" in caller.trailers


def test_a_runtime_that_does_not_stream_answers_whole(runtime: Runtime, call: Callable[..., Caller]) -> None:
    """Whoever would take a stream takes that, too."""
    caller = call()
    runtime.send(response_head(runtime.delivered(), b"Content-Length: 4") + b"true")
    assert caller.fields()["content-length"] == "4"
