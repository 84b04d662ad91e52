"""Answers that are streamed, as events and as HTTP: what the caller has when something goes wrong on the way (§2.4)."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests import event_messages

from kubelambda.core.invoke import http_prelude
from kubelambda.core.invoke.url_cors import CorsRules
from kubelambda.frontend.invoke.stream_answer import StreamAnswer
from kubelambda.frontend.invoke.url_stream_answer import UrlStreamAnswer
from kubelambda.wire.flow import Flow
from kubelambda.wire.request import Answering, Request

LINES = b"Content-Type: text/plain\r\nX-Amz-Executed-Version: 7\r\nx-amzn-RequestId: id-1\r\n"
ERROR = b'{"errorType":"X","errorMessage":"half way"}'
FAILED = b"x-amz-function-error: Unhandled\r\nx-kubelambda-error-body: %b\r\n" % base64.b64encode(ERROR)
INTEGRATION = LINES.replace(b"text/plain", http_prelude.CONTENT_TYPE)


@dataclass
class Recorder:
    """A connection that keeps what it is told to send."""

    lasting: bool = False
    relaying: bool = False
    peer: str = "127.0.0.1"
    status: int = 0
    headers: bytes = b""
    body: bytes = b""
    state: str = "waiting"
    length: int | None = None
    flows: list[Flow | None] = field(default_factory=list)

    def respond(self, request: Request, status: int, body: bytes, headers: bytes) -> None:
        """Whole."""
        assert self.state == "waiting"
        self.status, self.body, self.headers, self.state = status, body, headers, "whole"

    def begin(self, request: Request, status: int, headers: bytes, length: int | None, flow: Flow | None) -> None:
        """The head."""
        assert self.state == "waiting"
        self.status, self.headers, self.length, self.state = status, headers, length, "begun"
        self.flows.append(flow)

    def write(self, request: Request, data: bytes) -> None:
        """Some of the body."""
        assert self.state == "begun"
        self.body += data

    def end(self, request: Request, trailers: bytes) -> None:
        """All of it."""
        assert (self.state, trailers) == ("begun", b"")
        self.state = "ended"

    def abort(self, request: Request) -> None:
        """Cut off."""
        self.state = "cut off"

    def pause(self, request: Request) -> None:
        """Nothing is sent."""

    def resume(self, request: Request) -> None:
        """Nothing is sent."""

    def serves(self, request: Request) -> bool:
        """Always."""
        return True

    @property
    def events(self) -> list[tuple[str, Any]]:
        """What the body has."""
        return event_messages.events(self.body)


def request_at(connection: Answering) -> Request:
    """A request whose answer goes there."""
    return Request(connection, b"POST", b"/", {}, b"", 0)


def streaming() -> tuple[Recorder, Request]:
    """An InvokeWithResponseStream."""
    recorder = Recorder()
    return recorder, request_at(StreamAnswer(recorder))


def visiting(method: bytes = b"GET", cors: CorsRules | None = None) -> tuple[Recorder, Request]:
    """A call of a function URL."""
    recorder = Recorder()
    origin = "https://a.example" if cors else None
    answer = UrlStreamAnswer(recorder, method=method, request_id="id-1", cors=cors, origin=origin)
    return recorder, request_at(answer)


def test_a_stream_is_an_event_for_every_piece_and_one_for_its_end() -> None:
    """Version and id are headers; the content type is that of events."""
    recorder, request = streaming()
    request.begin(200, LINES)
    assert b"Content-Type: application/vnd.amazon.eventstream\r\n" in recorder.headers
    assert b"x-amz-executed-version: 7\r\n" in recorder.headers
    assert b"x-amzn-requestid: id-1\r\n" in recorder.headers
    assert recorder.length is None
    request.write(b"one")
    assert recorder.events == [("PayloadChunk", b"one")]
    request.write(b"two")
    request.end(b"x-amz-log-result: TE9H\r\n")
    assert recorder.events[1:] == [("PayloadChunk", b"two"), ("InvokeComplete", {"LogResult": "TE9H"})]
    assert recorder.state == "ended"


def test_an_error_in_the_middle_is_in_the_last_event() -> None:
    """The status has been 200 for long."""
    recorder, request = streaming()
    request.begin(200, LINES)
    request.write(b"one")
    request.end(FAILED)
    complete = {"ErrorCode": "Unhandled", "ErrorDetails": ERROR.decode()}
    assert recorder.events == [("PayloadChunk", b"one"), ("InvokeComplete", complete)]


@pytest.mark.parametrize("length", [None, 100])
def test_an_answer_that_is_cut_off_says_so(length: int | None) -> None:
    """A stream that just ended would pass for a whole one."""
    recorder, request = streaming()
    request.begin(200, LINES, length=length)
    request.write(b"one")
    request.abort()
    assert recorder.state in ("ended", "whole")
    kind, complete = recorder.events[-1]
    assert (kind, complete["ErrorCode"]) == ("InvokeComplete", "ServiceException")
    assert "cut off" in complete["ErrorDetails"]


def test_a_function_that_does_not_stream_is_one_event() -> None:
    """Also where its answer came from another frontend in pieces."""
    recorder, request = streaming()
    request.respond(200, b"true", LINES + b"X-Amz-Log-Result: TE9H\r\n")
    assert recorder.events == [("PayloadChunk", b"true"), ("InvokeComplete", {"LogResult": "TE9H"})]
    recorder, request = streaming()
    request.begin(200, LINES, length=4)
    request.write(b"tr")
    request.write(b"ue")
    request.end()
    assert recorder.events == [("PayloadChunk", b"true"), ("InvokeComplete", {})]


def test_an_error_before_the_first_byte_is_no_payload() -> None:
    """The last event alone has it."""
    recorder, request = streaming()
    request.respond(200, ERROR, LINES + b"X-Amz-Function-Error: Unhandled\r\n")
    complete = {"ErrorCode": "Unhandled", "ErrorDetails": ERROR.decode()}
    assert recorder.events == [("InvokeComplete", complete)]


def test_what_was_never_invoked_is_answered_as_by_invoke() -> None:
    """Throttles and refusals are no events."""
    recorder, request = streaming()
    request.respond(429, b"{}", b"x-amzn-ErrorType: TooManyRequestsException\r\n")
    assert (recorder.status, recorder.body) == (429, b"{}")
    assert recorder.headers == b"x-amzn-ErrorType: TooManyRequestsException\r\n"
    recorder, request = streaming()
    request.abort()
    assert recorder.state == "cut off"


def test_a_stream_to_a_url_begins_with_its_own_head() -> None:
    """Which may come in pieces; the rules of the URL count more."""
    recorder, request = visiting(cors=CorsRules(allow_origins=("https://a.example",)))
    request.begin(200, INTEGRATION)
    given = {"statusCode": 201, "headers": {"content-type": "text/html", "access-control-allow-origin": "x"}}
    head = json.dumps(given).encode() + bytes(8)
    request.write(head[:20])
    assert recorder.state == "waiting"
    request.write(head[20:] + b"<p>")
    assert (recorder.state, recorder.status, recorder.body) == ("begun", 201, b"<p>")
    assert b"content-type: text/html\r\n" in recorder.headers
    assert b"Access-Control-Allow-Origin: https://a.example\r\n" in recorder.headers
    assert recorder.headers.lower().count(b"access-control-allow-origin") == 1
    request.write(b"</p>")
    request.end(b"x-amz-log-result: TE9H\r\n")
    assert (recorder.state, recorder.body) == ("ended", b"<p></p>")


def test_a_stream_without_a_head_is_a_200_of_its_type() -> None:
    """Also one of nothing."""
    recorder, request = visiting()
    request.begin(200, LINES)
    assert (recorder.status, b"Content-Type: text/plain\r\n" in recorder.headers) == (200, True)
    request.end()
    assert recorder.state == "ended"
    recorder, request = visiting()
    request.begin(200, INTEGRATION)
    request.end()
    assert (recorder.status, recorder.body) == (200, b"")


@pytest.mark.parametrize("prelude", [b"no prelude" + bytes(8), b'{"statusCode": 999}' + bytes(8), b'{"statusCode"'])
def test_what_is_no_head_is_a_502(prelude: bytes) -> None:
    """Nothing of it was sent, and nothing that follows is."""
    recorder, request = visiting()
    request.begin(200, INTEGRATION)
    request.write(prelude)
    request.write(b"more")
    request.end()
    assert (recorder.status, recorder.body) == (502, b"Internal Server Error")


@pytest.mark.parametrize("told", [True, False])
def test_an_error_within_the_body_cuts_it_off(told: bool) -> None:
    """HTTP has no other way to say it: the caller finds the answer incomplete."""
    recorder, request = visiting()
    request.begin(200, LINES)
    request.write(b"half")
    if told:
        request.end(FAILED)
    else:
        request.abort()
    assert (recorder.state, recorder.body) == ("cut off", b"half")


@pytest.mark.parametrize("told", [True, False])
def test_an_error_within_the_head_is_a_502(told: bool) -> None:
    """The caller has nothing yet."""
    recorder, request = visiting()
    request.begin(200, INTEGRATION)
    request.write(b'{"status')
    if told:
        request.end(FAILED)
    else:
        request.abort()
    assert (recorder.status, recorder.body) == (502, b"Internal Server Error")


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_none(status: int) -> None:
    """Whatever the function sends after its head."""
    recorder, request = visiting()
    request.begin(200, INTEGRATION)
    request.write(json.dumps({"statusCode": status}).encode() + bytes(8) + b"body")
    request.write(b"more")
    request.end()
    assert (recorder.state, recorder.status, recorder.body) == ("whole", status, b"")


def test_a_url_that_streams_answers_for_functions_that_do_not() -> None:
    """As any other URL: their result is an HTTP answer, and their error a 502."""
    recorder, request = visiting()
    request.respond(200, b'{"statusCode": 201, "body": "x"}', LINES)
    assert (recorder.status, recorder.body) == (201, b"x")
    recorder, request = visiting()
    request.respond(200, ERROR, LINES + b"X-Amz-Function-Error: Unhandled\r\n")
    assert (recorder.status, recorder.body) == (502, b"Internal Server Error")
    recorder, request = visiting(b"HEAD")
    request.begin(200, LINES, length=2)
    request.write(b"12")
    request.end()
    assert (recorder.status, recorder.body, request.method) == (200, b"12", b"HEAD")
