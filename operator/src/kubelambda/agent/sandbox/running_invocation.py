"""One invocation on its way through the environment, and the answers that the platform gives in the runtime's place."""

import base64
import json
import time
from dataclasses import dataclass
from typing import Any

from kubelambda.api import environment_protocol, limits
from kubelambda.wire.event_loop import Timer
from kubelambda.wire.flow import Flow
from kubelambda.wire.server import Request

_LOG_TYPE = environment_protocol.LOG_TYPE.lower().encode()
_STREAM = environment_protocol.STREAM.lower().encode()
_INVOKED_ARN = environment_protocol.INVOKED_ARN.lower().encode()
_CLIENT_CONTEXT = environment_protocol.CLIENT_CONTEXT.lower().encode()
_TRACE_ID = environment_protocol.TRACE_ID.lower().encode()
_TERM = environment_protocol.TERM.lower().encode()
_JSON = b"Content-Type: application/json\r\n"
_BILLED = b"%b: %%d\r\n" % environment_protocol.BILLED_MS.encode()
_RETIRE = b"%b: 1\r\n" % environment_protocol.RETIRE.encode()
_BUSY = b"%b: 1\r\n" % environment_protocol.BUSY.encode()
_FAILED = b"%b: Unhandled\r\n" % environment_protocol.FUNCTION_ERROR.encode()
_LOG_RESULT = environment_protocol.LOG_RESULT.encode()
_ERROR_BODY = environment_protocol.ERROR_BODY.encode()
_TRAILER_MAX_BYTES = 262_144
"""Of an error that is told in a trailer: all trailers together are bounded as heads are."""
_LINE_ENDS = b"\r\n\0"


@dataclass(slots=True)
class RunningInvocation:
    """An invocation in flight. Times are the event loop's."""

    request: Request
    id: bytes
    arn: bytes
    tail: bool
    started: float
    stream: bytes | None = None
    """The bounds of an answer that its caller takes as it comes; None: whole."""
    timer: Timer | None = None
    delivered: bool = False
    init_started: float | None = None
    log: bytes | None = None
    """The end of its log, which its caller wants."""
    begun: bool = False
    """Whether the caller has some of the answer."""
    over: bool = False
    """Whether the caller has all of it."""
    flow: Flow | None = None
    """What sends it, where it is a stream."""
    streamed_bytes: int = 0
    """How much of it its runtime sent, where it is a stream."""
    ended: float | None = None
    """When extensions were done with it, or its processes were told to end: so long it lasted, and is billed."""

    @property
    def trace(self) -> bytes | None:
        """Its caller's trace."""
        return self.request.headers.get(_TRACE_ID)

    @property
    def trace_text(self) -> str | None:
        """The same, as JSON has it."""
        found = self.trace
        return found.decode(errors="replace") if found is not None else None

    @property
    def answered_at_its_end(self) -> bool:
        """Whether the answer waits for all that goes on with it.

        Its log ends with REPORT. And who holds a lease decides by the answer alone when the environment is free.
        """
        return self.tail or _TERM in self.request.headers

    def next_headers(self, deadline_ms: int) -> bytes:
        """Header lines of the answer to `/next` (§3.1.1)."""
        lines = (
            b"Content-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: %b\r\n"
            b"Lambda-Runtime-Deadline-Ms: %d\r\nLambda-Runtime-Invoked-Function-Arn: %b\r\n"
            % (self.id, deadline_ms, one_line(self.arn))
        )
        headers = self.request.headers
        if (trace := headers.get(_TRACE_ID)) is not None:
            lines += b"Lambda-Runtime-Trace-Id: %b\r\n" % one_line(trace)
        if (context := headers.get(_CLIENT_CONTEXT)) is not None and (found := decoded_context(context)) is not None:
            lines += b"Lambda-Runtime-Client-Context: %b\r\n" % found
        return lines

    def begin(self, content_type: bytes, flow: Flow) -> None:
        """Begins to answer with a stream; `flow` is told when it must wait."""
        self.begun, self.flow = True, flow
        self.request.begin(200, b"Content-Type: %b\r\n" % one_line(content_type), flow=flow)

    def answer(
        self, body: bytes, failure: "Failure | None", billed_ms: int, *, retire: bool, busy: bool = False
    ) -> None:
        """Answers, or ends the answer that has begun; does nothing once its caller has all of it.

        `retire`: the environment takes nothing more. `busy`: it goes on with the invocation after the answer, or would
        have: it is never lent then, since who holds a lease is answered at the end.
        """
        if self.over:
            return
        lines = _BILLED % billed_ms
        if retire:
            lines += _RETIRE
        if busy:
            lines += _BUSY
        if failure is not None:
            lines += _FAILED
            body = failure.body
        if self.log is not None:
            lines += b"%b: %b\r\n" % (_LOG_RESULT, base64.b64encode(self.log))
        self.over = True
        if not self.begun:
            self.request.respond(200, body, _JSON + lines)
            return
        if failure is not None:
            lines += b"%b: %b\r\n" % (_ERROR_BODY, base64.b64encode(failure.short_body))
        self.request.end(lines)
        if self.flow is not None:  # nobody will tell it to go on any more
            self.flow.cancel()


def received(request: Request, request_id: bytes, arn: str) -> RunningInvocation:
    """An invocation that begins now, of the function with that ARN unless the request names it by another."""
    headers = request.headers
    return RunningInvocation(
        request,
        request_id,
        headers.get(_INVOKED_ARN) or arn.encode(),
        headers.get(_LOG_TYPE, b"").lower() == b"tail",
        time.perf_counter(),
        headers.get(_STREAM),
    )


def one_line(value: bytes) -> bytes:
    """A header's value without anything that could end its line."""
    return value.translate(None, _LINE_ENDS)


def decoded_context(value: bytes) -> bytes | None:
    """A client context as JSON in one line of ASCII, whatever its sender's JSON looks like; None for what is none."""
    try:
        return json.dumps(json.loads(base64.b64decode(value)), separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class Failure:
    """A function error: what the caller gets, and how the REPORT line names it."""

    body: bytes
    status: str
    """`error` when the runtime says so, `failure` when it ended or could not be started, or `timeout` (§4.2.4)."""
    error_type: str

    @property
    def short_body(self) -> bytes:
        """What of it a trailer can carry."""
        if len(self.body) <= _TRAILER_MAX_BYTES:
            return self.body
        return error_body(self.error_type, f"the error has more than {_TRAILER_MAX_BYTES} bytes")


def error_body(error_type: str, message: str) -> bytes:
    """Lambda's error JSON."""
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()


def timed_out(request_id: bytes, timeout: float) -> Failure:
    """The function took longer than it may (§3.2)."""
    message = f"RequestId: {request_id.decode()} Error: Task timed out after {timeout:.2f} seconds"
    return Failure(error_body("Sandbox.Timedout", message), "timeout", "")


def ended_early(request_id: bytes, error_type: str, reason: str) -> Failure:
    """The runtime process ended, could not be started, or broke off its answer (§3.2)."""
    message = f"RequestId: {request_id.decode()} Error: {reason}"
    return Failure(error_body(error_type, message), "failure", error_type)


def too_large(most: int = limits.RESPONSE_MAX_BYTES) -> Failure:
    """The response exceeds the limit (§2.2.5, §2.4.2)."""
    message = f"Response payload size exceeded maximum allowed payload size ({most} bytes)."
    body = json.dumps({"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}).encode()
    return Failure(body, "error", "Function.ResponseSizeTooLarge")


def decoded_error(body: bytes) -> Any:
    """The error JSON of a runtime, or what stands for it when it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return {"errorMessage": body.decode(errors="replace"), "errorType": "Runtime.Unknown"}
