"""Lambda's errors as the Invoke API answers them: status, type, and the exact member that carries the text (§0.2)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_CAPITAL = {
    "AccessDeniedException",
    "ResourceNotFoundException",
    "ServiceException",
    "InvalidRuntimeException",
    "ResourceNotReadyException",
    "RecursiveInvocationException",
    "EFSMountFailureException",
    "EFSMountConnectivityException",
    "EFSMountTimeoutException",
    "EFSIOException",
}


@dataclass(frozen=True)
class InvokeError(Exception):
    """One error answer. `retry_after` in seconds."""

    status: int
    type: str
    message: str
    reason: str | None = None
    retry_after: int | None = None

    def body(self) -> bytes:
        """The JSON body."""
        found: dict[str, Any] = {"Type": "User" if self.status < 500 else "Service"}
        if self.reason:
            found["Reason"] = self.reason
        found["Message" if self.type in _CAPITAL else "message"] = self.message
        return json.dumps(found).encode()

    def headers(self) -> bytes:
        """Header lines."""
        lines = f"Content-Type: application/json\r\nx-amzn-ErrorType: {self.type}\r\n"
        if self.retry_after is not None:
            lines += f"Retry-After: {self.retry_after}\r\n"
        return lines.encode()


def not_found(arn: str) -> InvokeError:
    """The function, or its qualifier, does not exist."""
    return InvokeError(404, "ResourceNotFoundException", f"Function not found: {arn}")


def alias_not_found(arn: str) -> InvokeError:
    """The function exists, and has no such alias."""
    return InvokeError(404, "ResourceNotFoundException", f"Alias not found: {arn}")


def invalid_parameter(message: str) -> InvokeError:
    """A parameter contradicts another, or asks for what is not served."""
    return InvokeError(400, "InvalidParameterValueException", message)


def validation(value: str, member: str, constraint: str) -> InvokeError:
    """A parameter breaks a constraint of its shape (§0.4)."""
    return validations([violation(value, member, constraint)])


def violation(value: str, member: str, constraint: str) -> str:
    """One constraint that a parameter breaks, as `validations` lists it."""
    return f"Value '{value}' at '{member}' failed to satisfy constraint: Member must {constraint}"


def validations(violations: Sequence[str]) -> InvokeError:
    """Several constraints are broken at once: all of them are listed (§0.4)."""
    plural = "" if len(violations) == 1 else "s"
    text = f"{len(violations)} validation error{plural} detected: {'; '.join(violations)}"
    return InvokeError(400, "ValidationException", text)


def other_region(theirs: str, ours: str) -> InvokeError:
    """The ARN is one of another region (§1.2.1a)."""
    text = f"Functions from '{theirs}' are not reachable in this region ('{ours}')"
    return InvokeError(404, "ResourceNotFoundException", text)


def not_json(detail: str) -> InvokeError:
    """The event is no JSON (§2.1.2)."""
    text = f"Could not parse request body into json: Could not parse payload into json: {detail}"
    return InvokeError(400, "InvalidRequestContentException", text)


def too_large(size: int, limit: int, kind: str = "RequestResponse") -> InvokeError:
    """The event exceeds the limit of its invocation type (§2.1.3)."""
    text = f"{size} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"
    return InvokeError(413, "RequestTooLargeException", text)


def unknown_operation(method: str, path: str) -> InvokeError:
    """Nothing is served there."""
    return InvokeError(404, "UnknownOperationException", f"no operation at {method} {path}")


def throttled(reason: str) -> InvokeError:
    """A limit is reached (§2.3)."""
    return InvokeError(429, "TooManyRequestsException", "Rate Exceeded.", reason=reason, retry_after=1)


def state_conflict(state: str) -> InvokeError:
    """The function cannot be invoked yet (§1.4.4)."""
    text = "The operation cannot be performed at this time. The function is currently in the following state: "
    return InvokeError(409, "ResourceConflictException", text + state)


def not_ready(message: str) -> InvokeError:
    """The function cannot be invoked at all (§2.1.4)."""
    return InvokeError(502, "ResourceNotReadyException", message)


def recursive() -> InvokeError:
    """A chain of invocations has come back to the function too often (§6.8)."""
    text = (
        "Lambda has detected your function being invoked in a recursive loop with other resources and stopped your "
        "function's invocation."
    )
    return InvokeError(400, "RecursiveInvocationException", text)


def not_synced() -> InvokeError:
    """Nobody knows yet whether the function exists: the cluster's state is still being read, or cannot be."""
    text = "The service does not know yet which functions there are; try again."
    return InvokeError(503, "ServiceUnavailableException", text, retry_after=1)


def no_owner_known() -> InvokeError:
    """The other frontends are not known yet, one of which may run what is called."""
    text = "The service does not know yet which of its parts runs the function; try again."
    return InvokeError(503, "ServiceUnavailableException", text, retry_after=1)


def service(message: str) -> InvokeError:
    """Something of ours failed."""
    return InvokeError(500, "ServiceException", message)


def sandbox_failure(request_id: str, message: str) -> bytes:
    """Function error of an environment that ended under its invocation (§3.2)."""
    text = f"RequestId: {request_id} Error: {message}"
    return json.dumps({"errorType": "Sandbox.Failure", "errorMessage": text}).encode()


def environment_ended(request_id: str, why: str) -> bytes:
    """Function error of an environment that its kernel or its node ended for what it used (§3.2)."""
    text = f"RequestId: {request_id} Error: {why}"
    return json.dumps({"errorType": "Runtime.ExitError", "errorMessage": text}).encode()
