"""Who makes a call of the control API, and whether it may: asked before an operation begins (DESIGN §10)."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kubelambda.awsapi.account.directory import AccountDirectory, AccountView
from kubelambda.awsapi.api_settings import ApiSettings
from kubelambda.awsapi.layer.layer_lookup import version_permissions
from kubelambda.callers.access_key_directory import AccessKeyDirectory
from kubelambda.callers.authenticator import Authenticator, SignatureClaim, bearer_token, brings_nothing
from kubelambda.callers.kubernetes_reviews import KubernetesReviews
from kubelambda.core.account import caller_refused, identity
from kubelambda.core.account.access_decision import AccessQuestion, denial, policy_statements
from kubelambda.core.account.caller import AuthMode, Caller, CallerKind, account_mode
from kubelambda.core.account.caller_refused import CallerRefused
from kubelambda.core.account.kubernetes_access import operation_access
from kubelambda.core.account.sigv4 import SignedHead
from kubelambda.core.code.layer_reference import parse_layer
from kubelambda.core.function.object_name import function_name_of, object_names
from kubelambda.kube.errors import NotFound
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import FUNCTIONS

_ABOUT: Final = ("FunctionName", "Resource", "LayerName", "Arn", "CodeSigningConfigArn", "ResourceARN")
"""Parameters that say what a call is about, and with it whose that is."""
_ARN_PARTS: Final = 6
_ACTIONS: Final = {"GetLayerVersionByArn": "GetLayerVersion"}
"""Operations that IAM knows by the name of another one."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a call brought: a signature whose body is still to come, a caller, or why there is none."""

    claim: SignatureClaim | None = None
    caller: Caller | None = None
    refusal: CallerRefused | None = None


@dataclass(frozen=True, slots=True)
class _Target:
    """What a call is about."""

    resource: str
    account: str | None
    function: str = ""
    qualifier: str | None = None
    layer: str = ""
    number: int | None = None
    """Of a version of the layer."""

    @property
    def has_policy(self) -> bool:
        """Whether it can have a resource policy."""
        return bool(self.function or self.layer)


class CallerCheck:
    """Asks Kubernetes and the Secrets with access keys; `keys` must be kept running."""

    def __init__(self, client: KubeClient, accounts: AccountDirectory, settings: ApiSettings) -> None:
        self._client = client
        self._accounts = accounts
        self._settings = settings
        self._mode = AuthMode(settings.auth_mode)
        self.keys = AccessKeyDirectory(client)
        self._reviews = KubernetesReviews(client, settings.token_audiences)
        self._authenticator = Authenticator(self.keys, self._reviews, self._account_of, region=settings.region)

    @property
    def ready(self) -> bool:
        """Whether every access key was seen once."""
        return self.keys.secrets.synced.is_set()

    async def credentials(self, head: SignedHead, service: str) -> Credentials:
        """What the head of a request proves. Raises `CallerRefused` where that is too little for any account."""
        found = await self._credentials(head, service)
        if found.refusal is not None and self._mode is not AuthMode.NONE:
            raise found.refusal
        return found

    async def _credentials(self, head: SignedHead, service: str) -> Credentials:
        if brings_nothing(head.target, head.headers):
            return Credentials(refusal=caller_refused.missing_token())
        token = bearer_token(head.headers.get(b"authorization"))
        if token is not None and self._mode is AuthMode.SIGV4:  # Kubernetes is not asked for nothing
            return Credentials(refusal=caller_refused.missing_token())
        if token is not None:
            holder = await self._authenticator.holder(token)
            return Credentials(refusal=holder) if isinstance(holder, CallerRefused) else Credentials(caller=holder)
        try:
            claim = await self._claim(head, service)
        except CallerRefused as error:
            return Credentials(refusal=error)
        return Credentials(claim, refusal=None if claim is not None else caller_refused.missing_token())

    async def _claim(self, head: SignedHead, service: str) -> SignatureClaim | None:
        """The signature; of a key that nobody has heard of once more after a moment, where nothing goes without one."""
        try:
            return self._authenticator.claim(head, time.time(), service)
        except CallerRefused as error:
            if not error.unheard or self._mode is AuthMode.NONE:
                raise
            await self._authenticator.hear_of(error.unheard)
        return self._authenticator.claim(head, time.time(), service)

    def proven(self, credentials: Credentials, payload_sha256: str) -> Credentials:
        """The credentials once the body is there. Raises `CallerRefused` where they are too little for any account."""
        if credentials.claim is None:
            return credentials
        try:
            return Credentials(caller=self._authenticator.prove(credentials.claim, payload_sha256, time.time()))
        except CallerRefused as error:
            if self._mode is not AuthMode.NONE:
                raise
            return Credentials(refusal=error)

    async def account(self, credentials: Credentials, host: str) -> AccountView | None:
        """The account that a call comes from: of its credentials, else of its host, else the default one."""
        settings = self._settings
        name, domain = host.partition(":")[0], settings.endpoint_domain
        if credentials.caller is not None and credentials.caller.namespace is not None:
            return await self._accounts.await_namespace(credentials.caller.namespace)
        if domain is not None and name.endswith(f".{domain}"):
            return await self._accounts.await_namespace(name.removesuffix(f".{domain}"))
        return await self._accounts.await_namespace(settings.default_namespace)

    async def authorize(
        self, credentials: Credentials, home: AccountView, service: str, operation: str, parameters: Mapping[str, Any]
    ) -> str:
        """The ARN of what the call is about, where the caller may do that.

        Raises `CallerRefused`, or `KubeError` when nobody can tell.
        """
        target = _target(parameters, home, self._settings.region)
        # By its id even where that is the caller's: a namespace may claim an id that is not rightfully its own.
        owner = home if target.account is None else self._accounts.by_id(target.account)
        mode = account_mode(self._mode, owner.auth_mode if owner is not None else home.auth_mode)
        if mode is AuthMode.NONE and (target.account is not None or not self._claims_more(credentials.refusal)):
            return target.resource
        caller = credentials.caller
        if caller is None:
            raise credentials.refusal or caller_refused.missing_token()
        if not (mode.tokens if caller.kind is CallerKind.TOKEN else mode.signatures):
            raise caller_refused.missing_token()
        namespace = owner.namespace if owner is not None else ""
        granted = False
        if caller.kind is CallerKind.TOKEN and caller.user is not None:
            names = object_names(target.function) if target.function else ("",)
            access = operation_access(operation, namespace, names[0])
            granted = await self._reviews.right(caller.user, access)
        action = f"{service}:{_ACTIONS.get(operation, operation)}"
        question = AccessQuestion(action, target.resource, namespace, target.qualifier)
        refused = denial(caller, question, granted=granted)
        if refused is not None and target.has_policy and owner is not None:
            statements = policy_statements(await self._permissions(namespace, target))
            question = AccessQuestion(action, target.resource, namespace, target.qualifier, statements)
            refused = denial(caller, question, granted=granted)
        if refused is not None:
            raise caller_refused.denied(refused)
        return target.resource

    def _claims_more(self, refusal: CallerRefused | None) -> bool:
        """Whether a caller that proved nothing named a key of an account that asks for proof: it means that account."""
        claimed = [self._accounts.by_namespace(each) for each in refusal.claimed] if refusal is not None else []
        return any(each and account_mode(self._mode, each.auth_mode) is not AuthMode.NONE for each in claimed)

    async def _permissions(self, namespace: str, target: _Target) -> list[Mapping[str, Any]]:
        if target.layer:
            return await version_permissions(self._client, namespace, target.layer, target.number)
        for name in object_names(target.function):
            try:
                body: Object = await self._client.get(FUNCTIONS, name, namespace)
            except NotFound:
                continue
            if function_name_of(body) == target.function:
                return list(body["spec"].get("permissions") or [])
        return []

    def _account_of(self, namespace: str) -> tuple[str | None, bool]:
        found = self._accounts.by_namespace(namespace)
        if found is None:
            return None, False
        owner = self._accounts.by_id(found.id)
        return found.id, owner is not None and owner.namespace == namespace


def _target(parameters: Mapping[str, Any], home: AccountView, region: str) -> _Target:
    """What a call is about. One that names nothing is about its account as a whole."""
    for name in _ABOUT:
        given = parameters.get(name)
        if not isinstance(given, str):
            continue
        found = identity.parse_reference(given) if name in ("FunctionName", "Resource") else None
        if found is not None:
            qualifier = found.qualifier or parameters.get("Qualifier")
            arn = identity.function_arn(region, found.account or home.id, found.name, qualifier)
            return _Target(arn, found.account, found.name, qualifier)
        parts = given.split(":", _ARN_PARTS - 1)
        if len(parts) == _ARN_PARTS and parts[0] == "arn":
            return _layer_target(given, parameters) or _Target(given, parts[4] or None)
        return _Target(f"arn:aws:lambda:{region}:{home.id}:{given}", None)
    return _Target("*", None)


def _layer_target(arn: str, parameters: Mapping[str, Any]) -> _Target | None:
    """The layer version of an ARN, with its number or beside that; None for anything else."""
    number = parameters.get("VersionNumber")
    text = arn if number is None else f"{arn}:{number}"
    found = parse_layer(text)
    return _Target(text, found.account, layer=found.layer, number=found.number) if found is not None else None
