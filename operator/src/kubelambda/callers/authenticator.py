"""From what a request brings to who calls: the same for every API that we serve."""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from kubelambda.callers.access_key_directory import AccessKeyDirectory
from kubelambda.callers.kubernetes_reviews import KubernetesReviews
from kubelambda.core.account import caller, caller_refused, sigv4
from kubelambda.core.account.access_key import AccessKey
from kubelambda.core.account.caller import Caller, KubernetesUser
from kubelambda.core.account.caller_refused import CallerRefused
from kubelambda.core.account.sigv4 import RequestSignature, SignedHead

_BEARER: Final = b"bearer "


@dataclass(frozen=True, slots=True)
class SignatureClaim:
    """A signature that is in order as far as the head of its request tells; its body is still to come."""

    head: SignedHead
    signature: RequestSignature
    keys: list[AccessKey]

    @property
    def needs_digest(self) -> bool:
        """Whether the body is signed."""
        return sigv4.declared_payload(self.head) != sigv4.UNSIGNED_PAYLOAD


type AccountOf = Callable[[str], tuple[str | None, bool]]
"""The account id that a namespace claims, and whether it is rightfully its own."""


class Authenticator:
    """Who calls. `region` is the one that signatures must be scoped to."""

    def __init__(
        self, keys: AccessKeyDirectory, reviews: KubernetesReviews, account_of: AccountOf, *, region: str
    ) -> None:
        self._keys = keys
        self._reviews = reviews
        self._account_of = account_of
        self._region = region

    def claim(self, head: SignedHead, now: float, service: str) -> SignatureClaim | None:
        """The signature of a request; None where it has none. `now` in seconds since the epoch.

        Raises `CallerRefused` for one that cannot be good whatever the body is.
        """
        signature = sigv4.signature_of(head)
        if signature is None:
            return None
        keys = self._keys.find(signature.access_key)
        if not keys:
            refusal = caller_refused.unrecognized()
            refusal.unheard = signature.access_key
            raise refusal
        try:
            sigv4.check_scope(signature, now, region=self._region, service=service)
        except CallerRefused as error:
            error.claimed = tuple(key.namespace for key in keys)
            raise
        return SignatureClaim(head, signature, keys)

    async def hear_of(self, key_id: str) -> None:
        """Waits a moment for a key to be heard of."""
        await self._keys.news.wait(lambda: bool(self._keys.find(key_id)))

    def prove(self, claim: SignatureClaim, payload_sha256: str, now: float) -> Caller:
        """The caller, where the signature is the one of a key. Raises `CallerRefused`."""
        try:
            return self._prove(claim, payload_sha256, now)
        except CallerRefused as error:
            error.claimed = tuple(key.namespace for key in claim.keys)
            raise

    def _prove(self, claim: SignatureClaim, payload_sha256: str, now: float) -> Caller:
        refusal: CallerRefused | None = None
        for key in claim.keys:
            try:
                sigv4.check_signature(claim.head, claim.signature, key.secret, payload_sha256)
            except CallerRefused as error:
                refusal = refusal or error
            else:
                return self._holder(key, claim.signature.token, now)
        raise refusal or caller_refused.unrecognized()

    def _holder(self, key: AccessKey, token: str | None, now: float) -> Caller:
        given, expected = token or "", key.token or ""
        if not hmac.compare_digest(given.encode("latin-1", "replace"), expected.encode("latin-1", "replace")):
            raise caller_refused.unrecognized()
        if key.expires is not None and now >= key.expires:
            raise caller_refused.expired()
        claimed, rightful = self._account_of(key.namespace)
        return caller.key_holder(key.user, key.namespace, claimed, rightful=rightful, actions=key.actions)

    def known_holder(self, token: str) -> Caller | CallerRefused | None:
        """Whose a bearer token is, or why nobody's; None where Kubernetes has to be asked."""
        found = self._reviews.known_user(token)
        return self._token_holder(found) if isinstance(found, KubernetesUser) else found

    async def holder(self, token: str) -> Caller | CallerRefused:
        """Whose a bearer token is, or why nobody's."""
        found = await self._reviews.user(token)
        return self._token_holder(found) if isinstance(found, KubernetesUser) else found

    def _token_holder(self, user: KubernetesUser) -> Caller:
        found = user.service_account
        claimed, rightful = self._account_of(found[0]) if found is not None else (None, False)
        return caller.token_holder(user, claimed, rightful=rightful)


def bearer_token(authorization: bytes | None) -> str | None:
    """The token of an Authorization header, if it has one."""
    if authorization is None or authorization[:7].lower() != _BEARER:
        return None
    return authorization[7:].strip().decode("latin-1") or None


def brings_nothing(target: bytes, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request has nothing about it that could prove anything."""
    return b"authorization" not in headers and target.find(sigv4.MARK) < 0
