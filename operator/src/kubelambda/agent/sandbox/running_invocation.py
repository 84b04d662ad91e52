"""One invocation on its way through the environment, and the answers that the platform gives in the runtime's place."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from kubelambda.api import limits
from kubelambda.wire.event_loop import Timer
from kubelambda.wire.server import Request

_CLIENT_CONTEXT = b"x-amz-client-context"
_PASSED_ON = (
    (b"x-amzn-trace-id", b"Lambda-Runtime-Trace-Id"),
    (_CLIENT_CONTEXT, b"Lambda-Runtime-Client-Context"),
)


@dataclass(slots=True)
class RunningInvocation:
    """An invocation in flight. Times are the event loop's."""

    request: Request
    id: str
    arn: bytes
    tail: bool
    started: float
    timer: Timer | None = None
    delivered: bool = False
    init_started: float | None = None

    def next_headers(self, deadline_ms: int) -> bytes:
        """Header lines of the answer to `/next` (§3.1.1)."""
        lines = b"Content-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: %b\r\n" % self.id.encode()
        lines += b"Lambda-Runtime-Deadline-Ms: %d\r\n" % deadline_ms
        lines += b"Lambda-Runtime-Invoked-Function-Arn: %b\r\n" % self.arn
        headers = self.request.headers
        for name, ours in _PASSED_ON:
            value = headers.get(name)
            if value is not None:
                lines += b"%b: %b\r\n" % (ours, base64.b64decode(value) if name == _CLIENT_CONTEXT else value)
        return lines


@dataclass(frozen=True, slots=True)
class Failure:
    """A function error: what the caller gets, and how the REPORT line names it."""

    body: bytes
    status: str
    error_type: str


def answer_headers(billed_ms: int, *, failed: bool, retire: bool) -> bytes:
    """Header lines of the answer to a frontend. `retire`: the environment takes nothing more."""
    lines = b"Content-Type: application/json\r\nX-Kubelambda-Billed-Ms: %d\r\n" % billed_ms
    if retire:
        lines += b"X-Kubelambda-Retire: 1\r\n"
    if failed:
        lines += b"X-Amz-Function-Error: Unhandled\r\n"
    return lines


def error_body(error_type: str, message: str) -> bytes:
    """Lambda's error JSON."""
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()


def timed_out(request_id: str, timeout: float) -> Failure:
    """The function took longer than it may (§3.2)."""
    message = f"RequestId: {request_id} Error: Task timed out after {timeout:.2f} seconds"
    return Failure(error_body("Sandbox.Timedout", message), "timeout", "")


def exited(request_id: str, reason: str) -> Failure:
    """The runtime process ended (§3.2)."""
    return Failure(
        error_body("Runtime.ExitError", f"RequestId: {request_id} Error: {reason}"), "error", "Runtime.ExitError"
    )


def not_startable(request_id: str, error_type: str, reason: str) -> Failure:
    """The runtime process could not be started (§3.2)."""
    return Failure(error_body(error_type, f"RequestId: {request_id} Error: {reason}"), "error", error_type)


def too_large() -> Failure:
    """The response exceeds the limit (§2.2.5)."""
    message = f"Response payload size exceeded maximum allowed payload size ({limits.RESPONSE_MAX_BYTES} bytes)."
    body = json.dumps({"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}).encode()
    return Failure(body, "error", "Function.ResponseSizeTooLarge")


def decoded_error(body: bytes) -> Any:
    """The error JSON of a runtime, or what stands for it when it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return {"errorMessage": body.decode(errors="replace"), "errorType": "Runtime.Unknown"}
