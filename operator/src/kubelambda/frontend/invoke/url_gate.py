"""Who calls a function URL, and whether it may: the resource policy decides, whatever `auth.mode` is (§2.5.5)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kubelambda.callers.authenticator import Authenticator, SignatureClaim, bearer_token
from kubelambda.callers.kubernetes_reviews import KubernetesReviews
from kubelambda.core.account import caller_refused
from kubelambda.core.account.access_decision import INVOKE_URL, AccessQuestion, PolicyStatement, url_denial
from kubelambda.core.account.caller import ANYBODY, AuthMode, Caller, CallerKind
from kubelambda.core.account.caller_refused import CallerRefused
from kubelambda.core.account.kubernetes_access import invoke_access
from kubelambda.frontend.cluster.url_directory import UrlEntry
from kubelambda.frontend.invoke.signed_request import claim_of, signer_of
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.request import Request

NOBODY: Final = "NONE"
"""The type of a URL whose callers need not say who they are."""

type Then = Callable[[Caller | CallerRefused], None]
"""Told who calls, or why it may not."""


@dataclass(frozen=True, slots=True)
class UrlCall:
    """A call of a function URL."""

    entry: UrlEntry
    arn: str
    """Of the function, with the alias where it is one's."""
    account: str
    name: str
    """Lambda's name of the function."""
    statements: tuple[PolicyStatement, ...]
    mode: AuthMode
    """What the account asks its callers for."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a request brought at its head, as far as it can be good."""

    claim: SignatureClaim | None = None
    token: str | None = None

    @property
    def access_key(self) -> str:
        """The key of a signature."""
        return self.claim.signature.access_key if self.claim is not None else ""


class UrlGate:
    """Lets in who may call a function URL."""

    def __init__(self, authenticator: Authenticator, reviews: KubernetesReviews) -> None:
        self._authenticator = authenticator
        self._reviews = reviews
        self._tasks = BackgroundTasks()

    def proof(self, request: Request, call: UrlCall) -> Proof:
        """What the head of a request proves so far. Raises `CallerRefused` where nothing can come of it."""
        if call.entry.url.auth_type == NOBODY:
            _let_in(call, ANYBODY)
            return Proof()
        token = bearer_token(request.headers.get(b"authorization"))
        if token is not None and (call.mode is AuthMode.NONE or call.mode.tokens):
            return Proof(token=token)
        claim = claim_of(self._authenticator, request) if token is None else None
        if claim is None or not (call.mode is AuthMode.NONE or call.mode.signatures):
            raise caller_refused.missing_token()
        return Proof(claim)

    def decide(self, proof: Proof, request: Request, call: UrlCall, then: Then) -> None:
        """Tells `then` of the whole request."""
        if proof.claim is not None:
            try:
                caller = signer_of(self._authenticator, proof.claim, request)
                _let_in(call, caller)
            except CallerRefused as error:
                then(error)
            else:
                then(caller)
        elif proof.token is not None:
            self._tasks.answer(request, self._ask(proof.token, call, then))
        else:
            then(ANYBODY)

    async def _ask(self, token: str, call: UrlCall, then: Then) -> None:
        """Whose a token is, and what that may: Kubernetes says, or has said a moment ago."""
        found = await self._authenticator.holder(token)
        try:
            if isinstance(found, Caller) and found.kind is CallerKind.TOKEN and found.user is not None:
                access = invoke_access(call.entry.namespace, call.entry.function)
                _let_in(call, found, granted=await self._reviews.right(found.user, access))
        except CallerRefused as error:
            found = error
        then(found)


def _let_in(call: UrlCall, caller: Caller, *, granted: bool = False) -> None:
    """Raises `CallerRefused` for one that may not."""
    entry = call.entry
    question = AccessQuestion(
        INVOKE_URL, call.arn, entry.namespace, entry.qualifier, call.statements, entry.url.auth_type
    )
    text = url_denial(caller, question, granted=granted)
    if text is not None:
        raise caller_refused.denied(text)
