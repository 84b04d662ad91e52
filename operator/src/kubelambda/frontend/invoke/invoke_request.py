"""The Invoke API: what callers send, checked and understood (`docs/semantics.md` §2.1)."""

import base64
import random
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qs, unquote

from kubelambda.api import limits
from kubelambda.core.account import identity
from kubelambda.core.account.identity import FunctionReference
from kubelambda.core.invoke import event_json, invoke_error, lineage, trace_header
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.frontend.invoke.request_ids import fresh_id
from kubelambda.wire.server import Request

_INVOKE = re.compile(
    rb"^/(?:2015-03-31/functions/([^/?]+)/invocations|2021-11-15/functions/([^/?]+)/response-streaming-invocations"
    rb"|2014-11-13/functions/([^/?]+)/invoke-async)/?(?:\?(.*))?$"
)
_STREAMED = b"/2021-11-15/"
_ASYNC = b"/2014-11-13/"
"""InvokeAsync, which Lambda has replaced by the invocation type Event and still serves."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9-]{8,64}")
_TRACE = b"x-amzn-trace-id"
_COUNTED = b":counted"
"""No header that a caller could send."""
_REMEMBERED_MAX_BYTES = 512
_MAX_BYTES = {False: limits.SYNC_REQUEST_MAX_BYTES, True: limits.ASYNC_REQUEST_MAX_BYTES}
"""Of an invocation, and of an event."""
_TYPES = (b"RequestResponse", b"Event", b"DryRun")
_STREAMED_TYPES = (b"RequestResponse", b"DryRun")
_LOG_TYPES = (b"None", b"Tail")
_TENANT = b"x-amz-tenant-id"
"""Who says this counts on environments of a tenant's own."""
_EXECUTION = b"x-amz-durable-execution-name"
"""Who says this counts on an execution that goes on after a failure."""


class AnotherOperation(Exception):
    """The request is none of the Invoke API."""


@dataclass(frozen=True, slots=True)
class InvokeCall:
    """An Invoke call: the function as named, the qualifier, and whether it is only a dry run, an event, or streamed."""

    reference: FunctionReference
    qualifier: str | None
    dry_run: bool
    event: bool = False
    streamed: bool = False
    """Whether it is an InvokeWithResponseStream."""


@dataclass(frozen=True, slots=True)
class _Named:
    """What a path names: a function and a qualifier, or why not."""

    reference: FunctionReference
    qualifier: str | None
    violations: tuple[str, ...]


def new_request_id(request: Request, *, trusted: bool) -> str:
    """A fresh request id, or the one that another frontend gave."""
    if trusted:
        given = request.headers.get(b"x-amzn-requestid", b"")
        if _REQUEST_ID.fullmatch(given):
            return given.decode()
    return fresh_id()


def _parse_target(target: bytes) -> _Named:
    match = _INVOKE.match(target)
    if match is None:
        raise AnotherOperation
    name = unquote((match[1] or match[2] or match[3]).decode(errors="replace"))
    query = (match[4] or b"").decode(errors="replace")
    qualifier = parse_qs(query).get("Qualifier", [None])[0] if query else None
    reference = identity.parse_reference(name)
    violations = [] if qualifier is None else _qualifier_violations(qualifier)
    if len(name) > identity.FUNCTION_NAME_MAX_LENGTH:
        violations.append(_too_long(name, "functionName", identity.FUNCTION_NAME_MAX_LENGTH))
    if reference is None:
        violations.append(_other_form(name, "functionName", identity.FUNCTION_NAME_PATTERN))
    return _Named(reference or FunctionReference(""), qualifier, tuple(violations))


def _qualifier_violations(qualifier: str) -> list[str]:
    found = []
    if len(qualifier) > identity.QUALIFIER_MAX_LENGTH:
        found.append(_too_long(qualifier, "qualifier", identity.QUALIFIER_MAX_LENGTH))
    if not identity.is_qualifier(qualifier):
        found.append(_other_form(qualifier, "qualifier", identity.QUALIFIER_PATTERN))
    return found


def _too_long(value: str, member: str, limit: int) -> str:
    return invoke_error.violation(value, member, f"have length less than or equal to {limit}")


def _other_form(value: str, member: str, pattern: str) -> str:
    return invoke_error.violation(value, member, f"satisfy regular expression pattern: {pattern}")


def _not_one_of(value: bytes, member: str, allowed: tuple[bytes, ...]) -> str:
    values = b", ".join(allowed).decode()
    return invoke_error.violation(value.decode(errors="replace"), member, f"satisfy enum value set: [{values}]")


def target_of(function_name: str, *, streamed: bool) -> str:
    """The path that invokes a function."""
    if streamed:
        return f"/2021-11-15/functions/{function_name}/response-streaming-invocations"
    return f"/2015-03-31/functions/{function_name}/invocations"


def is_invoke(target: bytes) -> bool:
    """Whether a target is that of Invoke, of InvokeWithResponseStream, or of InvokeAsync."""
    return _INVOKE.match(target) is not None


def parse_call(request: Request) -> InvokeCall:
    """An Invoke call without its event.

    Raises `InvokeError`, which lists everything that is out of shape, or `AnotherOperation`.
    """
    if request.method != b"POST":
        raise AnotherOperation
    headers = request.headers
    if _TENANT in headers or _EXECUTION in headers:
        member = "TenantId" if _TENANT in headers else "DurableExecutionName"
        raise invoke_error.invalid_parameter(
            f"{member} is not served by this release of kubelambda and would be ignored: remove it"
        )
    kind = headers.get(b"x-amz-invocation-type", b"RequestResponse")
    log_type = headers.get(b"x-amz-log-type", b"None")
    understand = _understand_known if len(request.target) <= _REMEMBERED_MAX_BYTES else _understand
    call = understand(request.target, kind, log_type)
    context = headers.get(b"x-amz-client-context")
    if context is not None:
        _check_client_context(context)
    return call


def _understand(target: bytes, kind: bytes, log_type: bytes) -> InvokeCall:
    named, streamed = _parse_target(target), target.startswith(_STREAMED)
    types = _STREAMED_TYPES if streamed else _TYPES
    if target.startswith(_ASYNC):
        kind = b"Event"
    if named.violations or kind not in types or log_type not in _LOG_TYPES:
        raise invoke_error.validations(_violations(named, kind, types, log_type))
    derived = named.reference.qualifier
    if named.qualifier is not None and derived is not None and named.qualifier != derived:
        raise invoke_error.invalid_parameter(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    return InvokeCall(named.reference, named.qualifier or derived, kind == b"DryRun", kind == b"Event", streamed)


_understand_known = lru_cache(maxsize=4096)(_understand)
"""Callers ask for the same few functions again and again. What is refused is not remembered."""


def _violations(named: _Named, kind: bytes, types: tuple[bytes, ...], log_type: bytes) -> list[str]:
    found = list(named.violations)
    if kind not in types:
        found.append(_not_one_of(kind, "invocationType", types))
    if log_type not in _LOG_TYPES:
        found.append(_not_one_of(log_type, "logType", _LOG_TYPES))
    return found


def _check_client_context(context: bytes) -> None:
    if len(context) > limits.CLIENT_CONTEXT_MAX_BYTES:
        raise invoke_error.invalid_parameter(
            f"Client context must be no more than {limits.CLIENT_CONTEXT_MAX_BYTES} bytes when base64-encoded."
        )
    try:
        decoded = base64.b64decode(context, validate=True)
    except ValueError:
        decoded = b""
    if not decoded.lstrip().startswith(b"{") or event_json.problem(decoded) is not None:
        text = "Client context must be a valid Base64-encoded JSON object."
        raise InvokeError(400, "InvalidRequestContentException", text)


def check_size(size: int, *, event: bool) -> int:
    """The largest event of the invocation type, in bytes (§2.1.3). Raises `InvokeError` when `size` exceeds it."""
    limit = _MAX_BYTES[event]
    if size > limit:
        raise invoke_error.too_large(size, limit, "Event" if event else "RequestResponse")
    return limit


def check_event(request: Request, *, event: bool = False) -> None:
    """The event must be JSON within the limit; none at all is `{}` (§2.1.2). Raises `InvokeError`."""
    if request.size > _MAX_BYTES[event]:  # which its head did not say
        check_size(request.size, event=event)
    if not request.body:
        request.body = b"{}"
        return
    problem = event_json.problem(request.body)
    if problem is not None:
        raise invoke_error.not_json(problem)


def complete_trace(request: Request) -> None:
    """Gives the request a whole trace header, for the invocation and for whatever it is passed on to."""
    given = request.headers.get(_TRACE)
    if given is None:
        request.headers[_TRACE] = trace_header.begun(time.time(), random.getrandbits)
    else:
        whole = trace_header.completed(given.decode(errors="replace"), now=time.time(), bits=random.getrandbits)
        request.headers[_TRACE] = whole.encode()


def advance_chain(request: Request, function_arn: str, *, endless: bool) -> None:
    """Counts one more run of the function in its chain of invocations (§6.8).

    Raises `InvokeError` where the chain has come back too often, unless it may be `endless`.
    """
    headers = request.headers
    if _COUNTED in headers:  # it was on its way to another frontend
        return
    given = headers.get(_TRACE, b"")
    if given.find(lineage.NAME) >= 0:
        trace, mark = given.decode(errors="replace"), lineage.mark(function_arn)
        if not endless and lineage.visits(trace, mark) >= lineage.LIMIT:
            raise invoke_error.recursive()
        headers[_TRACE] = lineage.advanced(trace, mark).encode()
    else:  # most chains begin here
        begun = lineage.begun(function_arn)
        headers[_TRACE] = given + b";" + begun if given else begun
    headers[_COUNTED] = b""
