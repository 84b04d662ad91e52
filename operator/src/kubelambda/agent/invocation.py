"""One invocation on its way through the environment, and the answers that the platform gives in the runtime's place."""

import asyncio
import json
from dataclasses import dataclass

from kubelambda.api import limits
from kubelambda.wire.server import Request


@dataclass(slots=True)
class Invocation:
    """An invocation in flight. Times are the event loop's."""

    request: Request
    id: str
    arn: bytes
    tail: bool
    started: float
    timer: asyncio.TimerHandle | None = None
    delivered: bool = False
    init_started: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A function error: what the caller gets, and how the REPORT line names it."""

    body: bytes
    status: str
    error_type: str


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
