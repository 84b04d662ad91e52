"""What becomes of a request, decided at its head, before any of its body is kept (DESIGN §5, Admission)."""

import re
from collections.abc import Callable
from functools import partial
from typing import Final

from kubelambda.core.account import caller_refused
from kubelambda.core.environment import secret_keys
from kubelambda.core.environment.component_callers import CALLER, CallerRole, ComponentCallers
from kubelambda.core.invoke import invoke_error
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.frontend.account.forwarder import hop_of
from kubelambda.frontend.cold_start.secret_report import SecretReport
from kubelambda.frontend.control_api.control_api_proxy import ControlApiProxy
from kubelambda.frontend.dispatch.invocation import refuse
from kubelambda.frontend.invoke import invoke_request
from kubelambda.frontend.invoke.caller_gate import PRINCIPAL, Check, invoke_refusal
from kubelambda.frontend.invoke.early_answer import SMALL_BYTES, answered_early
from kubelambda.frontend.invoke.invoke_request import AnotherOperation, InvokeCall
from kubelambda.frontend.invoke.stream_answer import StreamAnswer
from kubelambda.frontend.invoke.url_door import Invoke, UrlDoor
from kubelambda.wire.request import Request
from kubelambda.wire.request_reader import Admission, Serve, Whole

CALLER_HEADER: Final = CALLER.encode()
"""Where our own components say who they are."""
_CONTROL_API: Final = re.compile(rb"/20\d\d-\d\d-\d\d/|/kubelambda/|/(?:\?|$)")
_CLOSED: Final = "This installation has no public frontend: invoke through an InvokeEndpoint."
_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH"})

type Gate = Callable[[Request, InvokeCall, str, CallerRole | None], Check | None]
"""Asked at the head of every invocation that comes from outside, and of those that a component of ours makes for a
service; gets the request's id and that component's role. Raises `InvokeError` for one that must not come in.

What can only be known of the whole request (a signature covers the body) is told by the check that it returns.
"""


class FrontDoor:
    """Routes of a frontend. `probes` answer by path, `urls` by host; `gate` keeps out who may not invoke a function.

    Where it is not `public`, only our own components come in: everybody else through an InvokeEndpoint.
    """

    def __init__(
        self,
        callers: ComponentCallers,
        *,
        invoke: Invoke,
        control_api: ControlApiProxy,
        secret_report: SecretReport,
        probes: dict[bytes, Serve],
        gate: Gate | None = None,
        urls: UrlDoor | None = None,
        public: bool = True,
    ) -> None:
        self._callers = callers
        self._invoke = invoke
        self._control_api = control_api
        self._secret_report = secret_report
        self._probes = probes
        self._gate = gate
        self._urls = urls
        self._public = public

    def admit(self, request: Request) -> Admission:
        """Whole requests go to whoever answers them; large bodies that are not ours to read pass through."""
        claimed = request.headers.get(CALLER_HEADER)
        role = self._callers.role(claimed) if claimed is not None else None
        request_id = invoke_request.new_request_id(request, trusted=role is not None)
        try:
            return self._route(request, request_id, role)
        except InvokeError as error:
            return refused(request, request_id, error)

    def _route(self, request: Request, request_id: str, role: CallerRole | None) -> Admission:
        target, urls = request.target, self._urls
        if role is None:
            if not self._public and target not in self._probes and target != secret_keys.PATH:
                raise invoke_refusal(caller_refused.denied(_CLOSED))
            if urls is not None and (url_id := urls.id_of(request)) is not None:
                return urls.admit(request, url_id, request_id)
        try:
            return self._invocation(request, request_id, invoke_request.parse_call(request), role)
        except AnotherOperation:
            if invoke_request.is_invoke(target):  # with another method
                raise unknown(request) from None
        probe = self._probes.get(target)
        if probe is not None:
            return Whole(SMALL_BYTES, probe)
        if target == secret_keys.PATH:
            return self._secret_report.admit(request)
        if request.method not in _METHODS or not _CONTROL_API.match(target):
            raise unknown(request)
        return self._control_api.admit(request, request_id, lambda error: refuse(request, request_id, error))

    def close(self) -> None:
        """Lets go of the connections that are kept."""
        self._control_api.close()

    def _invocation(self, request: Request, request_id: str, call: InvokeCall, role: CallerRole | None) -> Admission:
        limit = invoke_request.check_size(request.size, event=call.event)
        hop = hop_of(request) if role is CallerRole.FRONTEND else None
        if hop is not None:
            request.connection.relaying = True
        elif call.streamed:
            request.connection = StreamAnswer(request.connection)
        serve = partial(self._invoke, request_id, call, hop)
        if self._gate is not None and (role is None or PRINCIPAL in request.headers):
            check = self._gate(request, call, request_id, role)
            if check is not None:
                serve = partial(checked, check, serve, request_id)
        return Whole(limit, serve)


def checked(check: Check, serve: Serve, request_id: str, request: Request) -> None:
    """Serves a request once the check has nothing against it."""

    def then(error: InvokeError | None) -> None:
        if error is not None:
            refuse(request, request_id, error)
        else:
            serve(request)

    check(request, then)


def refused(request: Request, request_id: str, error: InvokeError) -> Admission:
    """A refusal: at once where much is on its way, else after the body."""
    return answered_early(request, lambda whole: refuse(whole, request_id, error))


def unknown(request: Request) -> InvokeError:
    """There is no such operation."""
    path = request.target.partition(b"?")[0].decode(errors="replace")
    return invoke_error.unknown_operation(request.method.decode(errors="replace"), path)


def wording(request: Request, status: int, message: str) -> tuple[bytes, bytes]:
    """What a connection refuses by itself, as Lambda words it: too much at once, or a fault of ours."""
    if status == 429:
        error = invoke_error.throttled("CallerRateLimitExceeded")
    elif status >= 500:
        error = InvokeError(status, "ServiceException", message)
    else:
        error = InvokeError(status, "InvalidRequestContentException", message)
    request_id = invoke_request.new_request_id(request, trusted=False)
    return error.headers() + f"x-amzn-RequestId: {request_id}\r\n".encode(), error.body()
