"""Who may invoke what through an InvokeEndpoint: its policy says so, for callers who have proven who they are."""

import time
from dataclasses import dataclass
from functools import partial

from kubelambda.api.settings import Settings
from kubelambda.callers.audit_log import ANONYMOUS, AuditLog
from kubelambda.callers.authenticator import Authenticator, SignatureClaim, bearer_token, brings_nothing
from kubelambda.core.account import caller_refused, identity
from kubelambda.core.account.caller import Caller
from kubelambda.core.account.caller_refused import CallerRefused
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.core.network.endpoint_policy import endpoint_denial, for_everybody
from kubelambda.frontend.account.forwarder import NAMESPACE
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.views import EndpointView
from kubelambda.frontend.invoke.audited_answer import AuditedAnswer
from kubelambda.frontend.invoke.caller_gate import Check, Then, invoke_refusal
from kubelambda.frontend.invoke.early_answer import is_small
from kubelambda.frontend.invoke.invoke_request import InvokeCall
from kubelambda.frontend.invoke.signed_request import claim_of, late_signer_of, signer_of
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.request import Request


@dataclass(slots=True)
class _Arrival:
    """A request that came through an endpoint."""

    endpoint: EndpointView
    call: InvokeCall
    request_id: str
    resource: str
    """ARN of what it invokes."""
    started: float
    """On the monotonic clock."""


class EndpointGate:
    """Lets in who may invoke through an endpoint, whatever the installation asks of callers elsewhere."""

    def __init__(self, authenticator: Authenticator, caches: Caches, settings: Settings, audit: AuditLog) -> None:
        self._authenticator = authenticator
        self._caches = caches
        self._region = settings.region
        self._audited = settings.auth.audit
        self._audit = audit
        self._tasks = BackgroundTasks()

    def __call__(self, endpoint: EndpointView, request: Request, call: InvokeCall, request_id: str) -> Check | None:
        """What is still to be looked at once the request is whole. Raises `InvokeError` for one that is refused.

        The function is one of the endpoint's namespace, whatever else the request says.
        """
        request.headers[NAMESPACE] = endpoint.namespace.encode()
        arrival = _Arrival(endpoint, call, request_id, self._arn(endpoint, call), time.monotonic())
        account = call.reference.account
        if account is not None and self._caches.namespace_of(account) != endpoint.namespace:
            raise self._told(arrival, request, None, self._denied(arrival, None, rules=False))
        if brings_nothing(request.target, request.headers) or for_everybody(endpoint.rules):
            error = self._decided(arrival, request, None)
            if error is not None:
                raise error
            return None
        token = bearer_token(request.headers.get(b"authorization"))
        if token is not None:
            return partial(self._check_token, arrival, token)
        try:
            claim = claim_of(self._authenticator, request)
        except CallerRefused as refusal:
            if refusal.unheard and is_small(request):
                return partial(self._check_late_key, arrival, refusal.unheard)
            error = self._decided(arrival, request, refusal)
            if error is not None:
                raise error from refusal
            return None
        return partial(self._check_signature, arrival, claim)

    # -- the whole request --------------------------------------------------------------------------------------------

    def _check_signature(self, arrival: _Arrival, claim: SignatureClaim | None, request: Request, then: Then) -> None:
        found: Caller | CallerRefused | None = None
        if claim is not None:
            try:
                found = signer_of(self._authenticator, claim, request)
            except CallerRefused as error:
                found = error
        then(self._decided(arrival, request, found))

    def _check_late_key(self, arrival: _Arrival, key_id: str, request: Request, then: Then) -> None:
        self._tasks.answer(request, self._hear_of_key(arrival, key_id, request, then))

    async def _hear_of_key(self, arrival: _Arrival, key_id: str, request: Request, then: Then) -> None:
        found = await late_signer_of(self._authenticator, key_id, request)
        if request.alive:
            then(self._decided(arrival, request, found))
        else:  # it would run for nobody
            request.abort()

    def _check_token(self, arrival: _Arrival, token: str, request: Request, then: Then) -> None:
        known = self._authenticator.known_holder(token)
        if known is not None:
            then(self._decided(arrival, request, known))
        else:
            self._tasks.answer(request, self._ask_holder(arrival, token, request, then))

    async def _ask_holder(self, arrival: _Arrival, token: str, request: Request, then: Then) -> None:
        then(self._decided(arrival, request, await self._authenticator.holder(token)))

    # -- the decision -------------------------------------------------------------------------------------------------

    def _decided(self, arrival: _Arrival, request: Request, found: Caller | CallerRefused | None) -> InvokeError | None:
        """Why the request is refused; None when it comes in. `found`: who calls, or why that is not known."""
        caller = found if isinstance(found, Caller) else None
        if isinstance(found, CallerRefused) and found.status >= 500:  # nobody is let in on a guess
            return self._told(arrival, request, None, found)
        refusal = self._denied(arrival, caller)
        if refusal is not None and caller is None and not for_everybody(arrival.endpoint.rules):
            refusal = found if isinstance(found, CallerRefused) else caller_refused.missing_token()
        if refusal is not None:
            return self._told(arrival, request, caller, refusal)
        if self._audited == "all" or (self._audited == "identified" and caller is not None):
            self._tell(arrival, request, caller)
        return None

    def _denied(self, arrival: _Arrival, caller: Caller | None, *, rules: bool = True) -> CallerRefused | None:
        call, given = arrival.call, arrival.endpoint.rules if rules else ()
        text = endpoint_denial(caller, call.reference.name, call.qualifier, given, resource=arrival.resource)
        return None if text is None else caller_refused.denied(text)

    def _arn(self, endpoint: EndpointView, call: InvokeCall) -> str:
        found = self._caches.namespaces.items.get(("", endpoint.namespace))
        account = call.reference.account or (found.account_id if found is not None else "0" * 12)
        return identity.function_arn(self._region, account, call.reference.name, call.qualifier)

    def _told(
        self, arrival: _Arrival, request: Request, caller: Caller | None, refusal: CallerRefused | None
    ) -> InvokeError:
        """The refusal, of which the audit log is told."""
        assert refusal is not None, "nothing allows what no rule is about"
        if self._audited != "none":
            self._tell(arrival, request, caller)
        return invoke_refusal(refusal)

    def _tell(self, arrival: _Arrival, request: Request, caller: Caller | None) -> None:
        request.connection = AuditedAnswer(
            request.connection,
            self._audit,
            request_id=arrival.request_id,
            caller=caller.arn if caller is not None else ANONYMOUS,
            resource=arrival.resource,
            started=arrival.started,
        )
