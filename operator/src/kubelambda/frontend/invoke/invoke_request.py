"""The Invoke API: what callers send, checked and understood (`lambda-semantics.md` §2.1)."""

import base64
import binascii
import json
import re
import time
import uuid
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qs, unquote

from kubelambda.api import limits
from kubelambda.core.account import identity
from kubelambda.core.account.identity import FunctionReference
from kubelambda.core.invoke import invoke_error
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.wire.server import Request

_INVOKE = re.compile(rb"^/2015-03-31/functions/([^/?]+)/invocations/?(?:\?(.*))?$")
_QUALIFIER = re.compile(r"\$LATEST|[a-zA-Z0-9-_]{1,128}")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9-]{8,64}")
_NAME_PATTERN = (
    "(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?"
    "([a-zA-Z0-9-_\\.]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?"
)
LATEST = "$LATEST"
_REMEMBERED_MAX_BYTES = 512
_TYPES = ("Event", "RequestResponse", "DryRun")


@dataclass(frozen=True, slots=True)
class InvokeCall:
    """An Invoke call: the function as named, the qualifier, and whether it is only a dry run."""

    reference: FunctionReference
    qualifier: str | None
    dry_run: bool


def new_request_id(request: Request, *, trusted: bool) -> str:
    """A fresh request id, or the one that another frontend gave."""
    given = request.headers.get(b"x-amzn-requestid", b"")
    if trusted and _REQUEST_ID.fullmatch(given):
        return given.decode()
    return str(uuid.uuid4())


def parse_path(request: Request) -> tuple[FunctionReference, str | None]:
    """The function and qualifier of an Invoke path. Raises `InvokeError`."""
    if request.method != b"POST":
        raise _unknown_operation(request.target)
    if len(request.target) > _REMEMBERED_MAX_BYTES:
        return _parse_target(request.target)
    return _parse_known_target(request.target)


def _parse_target(target: bytes) -> tuple[FunctionReference, str | None]:
    match = _INVOKE.match(target)
    if match is None:
        raise _unknown_operation(target)
    name = unquote(match[1].decode(errors="replace"))
    if len(name) > 140:
        raise invoke_error.validation(name, "functionName", "have length less than or equal to 140")
    reference = identity.parse_reference(name)
    if reference is None:
        raise invoke_error.validation(name, "functionName", f"satisfy regular expression pattern: {_NAME_PATTERN}")
    return reference, _qualifier(reference, (match[2] or b"").decode(errors="replace"))


_parse_known_target = lru_cache(maxsize=4096)(_parse_target)
"""Callers ask for the same few functions again and again."""


def _unknown_operation(target: bytes) -> InvokeError:
    path = target.decode(errors="replace")
    return InvokeError(404, "UnknownOperationException", f"no operation at {path}")


def _qualifier(reference: FunctionReference, query: str) -> str | None:
    given = parse_qs(query).get("Qualifier", [None])[0] if query else None
    if given is not None and not _QUALIFIER.fullmatch(given):
        raise invoke_error.validation(given, "qualifier", "satisfy regular expression pattern: (|[a-zA-Z0-9$_-]+)")
    if given is not None and reference.qualifier is not None and given != reference.qualifier:
        raise invoke_error.invalid_parameter(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    return given or reference.qualifier


def parse_call(request: Request) -> InvokeCall:
    """An Invoke call without its event. Raises `InvokeError`."""
    reference, qualifier = parse_path(request)
    kind = request.headers.get(b"x-amz-invocation-type", b"RequestResponse").decode(errors="replace")
    if kind not in _TYPES:
        raise invoke_error.validation(kind, "invocationType", f"satisfy enum value set: [{', '.join(_TYPES)}]")
    if kind == "Event":
        raise invoke_error.invalid_parameter(
            "Asynchronous invocation (InvocationType Event) is not available in this release of kubelambda: "
            "nothing was queued. Use RequestResponse."
        )
    log_type = request.headers.get(b"x-amz-log-type", b"None").decode(errors="replace")
    if log_type not in ("None", "Tail"):
        raise invoke_error.validation(log_type, "logType", "satisfy enum value set: [None, Tail]")
    _check_client_context(request.headers.get(b"x-amz-client-context"))
    return InvokeCall(reference, qualifier, kind == "DryRun")


def _check_client_context(context: bytes | None) -> None:
    if context is None:
        return
    if len(context) > limits.CLIENT_CONTEXT_MAX_BYTES:
        raise invoke_error.invalid_parameter(
            f"Client context must be no more than {limits.CLIENT_CONTEXT_MAX_BYTES} bytes when base64-encoded."
        )
    try:
        json.loads(base64.b64decode(context, validate=True))
    except (ValueError, binascii.Error) as error:
        text = "Client context must be a valid Base64-encoded JSON object."
        raise InvokeError(400, "InvalidRequestContentException", text) from error


def check_event(request: Request) -> None:
    """The event must be JSON within the limit; none at all is `{}` (§2.1.2). Raises `InvokeError`."""
    if request.size > limits.SYNC_REQUEST_MAX_BYTES:
        raise invoke_error.too_large(request.size, limits.SYNC_REQUEST_MAX_BYTES)
    if not request.body:
        request.body = b"{}"
        return
    try:
        json.loads(request.body.decode())
    except ValueError as error:
        raise invoke_error.not_json(str(error)) from error


def now() -> float:
    """The clock of everything in flight."""
    return time.monotonic()
