"""Who invokes, and whether it may: asked at the head of a request, and of the whole one where its body is signed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from kubelambda.api.settings import Settings
from kubelambda.callers.audit_log import ANONYMOUS, AuditLog
from kubelambda.callers.authenticator import Authenticator, SignatureClaim, bearer_token, brings_nothing
from kubelambda.callers.kubernetes_reviews import KubernetesReviews
from kubelambda.core.account import caller_refused, identity
from kubelambda.core.account.access_decision import INVOKE, AccessQuestion, denial
from kubelambda.core.account.caller import AuthMode, Caller, CallerKind, account_mode, service
from kubelambda.core.account.caller_refused import CallerRefused
from kubelambda.core.account.kubernetes_access import invoke_access
from kubelambda.core.environment.component_callers import CallerRole
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.frontend.account.forwarder import NAMESPACE
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.invoke.audited_answer import AuditedAnswer
from kubelambda.frontend.invoke.early_answer import is_small
from kubelambda.frontend.invoke.invoke_request import InvokeCall
from kubelambda.frontend.invoke.request_accounts import RequestAccounts
from kubelambda.frontend.invoke.signed_request import claim_of, late_signer_of, signer_of
from kubelambda.frontend.invoke.url_gate import UrlGate
from kubelambda.kube.kube_client import KubeClient
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.request import Request

PRINCIPAL: Final = b"x-kubelambda-principal"
"""The service that one of our components invokes as, and of which event source: policies decide for it."""
_SOURCE_ARN: Final = b"x-kubelambda-source-arn"
_SOURCE_ACCOUNT: Final = b"x-kubelambda-source-account"

type Then = Callable[[InvokeError | None], None]
"""Told why a request is refused, or None."""
type Check = Callable[[Request, Then], None]


@dataclass(slots=True)
class _Incoming:
    """A request on its way in, and what it has brought so far."""

    call: InvokeCall
    request_id: str
    started: float
    """On the monotonic clock."""
    claim: SignatureClaim | None = None
    token: str | None = None
    caller: Caller | None = None
    refusal: CallerRefused | None = None


class CallerGate:
    """Lets in who may invoke."""

    def __init__(
        self,
        client: KubeClient,
        caches: Caches,
        settings: Settings,
        audit: AuditLog,
        accounts: RequestAccounts,
    ) -> None:
        self._caches = caches
        self._audit = audit
        self._accounts = accounts
        self._region = settings.region
        self._mode = AuthMode(settings.auth.mode)
        self._audited = settings.auth.audit
        self._reviews = KubernetesReviews(client, settings.auth.token_audiences)
        self.authenticator = Authenticator(caches.access_keys, self._reviews, self._account_of, region=settings.region)
        self.of_urls = UrlGate(self.authenticator, self._reviews)
        """Who may call function URLs: asked of the same keys and the same Kubernetes."""
        self._tasks = BackgroundTasks()

    def __call__(self, request: Request, call: InvokeCall, request_id: str, role: CallerRole | None) -> Check | None:
        """What is still to be looked at once the request is whole. Raises `InvokeError` for one that is refused."""
        if role is not None:
            return self._component(request, call, request_id)
        request.headers.pop(NAMESPACE, None)
        if brings_nothing(request.target, request.headers):
            return self._anonymous(request, call, request_id)
        incoming = _Incoming(call, request_id, time.monotonic())
        incoming.token = bearer_token(request.headers.get(b"authorization"))
        if incoming.token is not None and self._mode is AuthMode.SIGV4:  # Kubernetes is not asked for nothing
            self._audit_of(incoming, request)
            raise invoke_refusal(caller_refused.missing_token())
        if incoming.token is None:
            try:
                incoming.claim = claim_of(self.authenticator, request)
            except CallerRefused as error:
                incoming.refusal = error
                if self._mode is not AuthMode.NONE and not (error.unheard and is_small(request)):
                    self._audit_of(incoming, request)
                    raise invoke_refusal(error) from error
        return partial(self._check, incoming)

    def _component(self, request: Request, call: InvokeCall, request_id: str) -> Check | None:
        """One of our own components: it may, unless it invokes for a service."""
        principal = request.headers.get(PRINCIPAL)
        if principal is None:
            return None
        source, account = (request.headers.get(name) for name in (_SOURCE_ARN, _SOURCE_ACCOUNT))
        incoming = _Incoming(call, request_id, time.monotonic())
        incoming.caller = service(
            principal.decode("latin-1"),
            source_arn=source.decode("latin-1") if source is not None else None,
            source_account=account.decode("latin-1") if account is not None else None,
        )
        return partial(self._check, incoming)

    def _anonymous(self, request: Request, call: InvokeCall, request_id: str) -> Check | None:
        namespace = self._accounts.namespace(call.reference.account, request)
        if self._mode_of(namespace) is not AuthMode.NONE:
            self._audit_of(_Incoming(call, request_id, time.monotonic()), request)
            raise invoke_refusal(caller_refused.missing_token())
        if self._audited == "all":
            self._audit_of(_Incoming(call, request_id, time.monotonic()), request)
        return None

    # -- the whole request --------------------------------------------------------------------------------------------

    def _check(self, incoming: _Incoming, request: Request, then: Then) -> None:
        if incoming.claim is not None:
            try:
                incoming.caller = signer_of(self.authenticator, incoming.claim, request)
            except CallerRefused as error:
                incoming.refusal = error
        elif incoming.token is not None:
            known = self.authenticator.known_holder(incoming.token)
            if known is None:
                self._tasks.answer(request, self._ask_holder(incoming, incoming.token, request, then))
                return
            _keep(incoming, known)
        elif incoming.refusal is not None and incoming.refusal.unheard and self._asks_for_proof(incoming, request):
            self._tasks.answer(request, self._hear_of_key(incoming, incoming.refusal.unheard, request, then))
            return
        self._decide(incoming, request, then)

    def _asks_for_proof(self, incoming: _Incoming, request: Request) -> bool:
        namespace = self._accounts.namespace(incoming.call.reference.account, request)
        return self._mode_of(namespace) is not AuthMode.NONE

    async def _hear_of_key(self, incoming: _Incoming, key_id: str, request: Request, then: Then) -> None:
        _keep(incoming, await late_signer_of(self.authenticator, key_id, request))
        if request.alive:
            self._decide(incoming, request, then)
        else:  # it would run for nobody
            request.abort()

    async def _ask_holder(self, incoming: _Incoming, token: str, request: Request, then: Then) -> None:
        _keep(incoming, await self.authenticator.holder(token))
        self._decide(incoming, request, then)

    def _decide(self, incoming: _Incoming, request: Request, then: Then) -> None:
        caller, account = incoming.caller, incoming.call.reference.account
        if account is None and caller is not None and caller.namespace is not None:
            request.headers[NAMESPACE] = caller.namespace.encode()
        namespace = self._accounts.namespace(account, request)
        mode = self._mode_of(namespace)
        if account is None and incoming.refusal is not None:
            # Who names a key of an account that asks for proof means that account, and not the one of the nameless.
            strict = [found for each in incoming.refusal.claimed if (found := self._mode_of(each)) is not AuthMode.NONE]
            mode = strict[0] if strict else mode
        if caller is not None or mode is not AuthMode.NONE or self._audited == "all":
            self._audit_of(incoming, request)
        if mode is AuthMode.NONE:
            then(None)
        elif caller is None:
            then(invoke_refusal(incoming.refusal or caller_refused.missing_token()))
        elif caller.kind is CallerKind.TOKEN:
            if mode.tokens:
                self._decide_by_rights(incoming, caller, namespace, request, then)
            else:
                then(invoke_refusal(caller_refused.missing_token()))
        elif caller.kind is CallerKind.ACCESS_KEY and not mode.signatures:
            then(invoke_refusal(caller_refused.missing_token()))
        else:
            then(self._denial(incoming.call, caller, namespace))

    def _decide_by_rights(
        self, incoming: _Incoming, caller: Caller, namespace: str, request: Request, then: Then
    ) -> None:
        user, name = caller.user, self._caches.object_name(namespace, incoming.call.reference.name)
        assert user is not None, "a token has a user"
        access = invoke_access(namespace, name)
        granted = self._reviews.known_right(user, access)
        if granted is not None:
            then(self._denial(incoming.call, caller, namespace, granted=granted))
            return

        async def ask() -> None:
            try:
                granted = await self._reviews.right(user, access)
            except CallerRefused as error:
                then(invoke_refusal(error))
            else:
                then(self._denial(incoming.call, caller, namespace, granted=granted))

        self._tasks.answer(request, ask())

    def _denial(self, call: InvokeCall, caller: Caller, namespace: str, *, granted: bool = False) -> InvokeError | None:
        view = self._caches.functions.items.get((namespace, self._caches.object_name(namespace, call.reference.name)))
        statements = view.statements if view is not None else ()
        arn = self._arn(call, namespace)
        question = AccessQuestion(INVOKE, arn, namespace, call.qualifier, statements)
        text = denial(caller, question, granted=granted)
        return None if text is None else invoke_refusal(caller_refused.denied(text))

    # -- what is known ------------------------------------------------------------------------------------------------

    def _mode_of(self, namespace: str) -> AuthMode:
        found = self._caches.namespaces.items.get(("", namespace))
        annotation = found.auth_mode if found is not None else None
        return self._mode if annotation is None else account_mode(self._mode, annotation)

    def _account_of(self, namespace: str) -> tuple[str | None, bool]:
        found = self._caches.namespaces.items.get(("", namespace))
        if found is None:
            return None, False
        return found.account_id, self._caches.namespace_of(found.account_id) == namespace

    def _arn(self, call: InvokeCall, namespace: str) -> str:
        account = call.reference.account or self._account_of(namespace)[0] or "0" * 12
        return identity.function_arn(self._region, account, call.reference.name, call.qualifier)

    def _audit_of(self, incoming: _Incoming, request: Request) -> None:
        """Has the answer told to the audit log."""
        if self._audited == "none":
            return
        namespace = self._accounts.namespace(incoming.call.reference.account, request)
        request.connection = AuditedAnswer(
            request.connection,
            self._audit,
            request_id=incoming.request_id,
            caller=incoming.caller.arn if incoming.caller is not None else ANONYMOUS,
            resource=self._arn(incoming.call, namespace),
            started=incoming.started,
        )


def _keep(incoming: _Incoming, holder: Caller | CallerRefused) -> None:
    if isinstance(holder, CallerRefused):
        incoming.refusal = holder
    else:
        incoming.caller, incoming.refusal = holder, None


def invoke_refusal(refused: CallerRefused) -> InvokeError:
    """A refusal as Invoke tells it."""
    return InvokeError(refused.status, refused.type, str(refused))
