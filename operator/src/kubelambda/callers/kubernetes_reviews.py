"""Asking Kubernetes whose a token is (TokenReview), and what its holder may do (SubjectAccessReview)."""

import hashlib
from collections.abc import Sequence
from typing import Any

from kubelambda.api import labels
from kubelambda.callers.review_cache import ReviewCache, TooManyReviews
from kubelambda.core.account import caller_refused
from kubelambda.core.account.caller import KubernetesUser
from kubelambda.core.account.caller_refused import CallerRefused
from kubelambda.core.account.kubernetes_access import ResourceAccess
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import ACCESS_REVIEWS, TOKEN_REVIEWS


class _Token:
    """A token as a question, known by its digest."""

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha256(text.encode(errors="replace")).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Token) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)


class KubernetesReviews:
    """Both kinds of review, each remembered for some seconds. `audiences`: whom tokens must be made for."""

    def __init__(self, client: KubeClient, audiences: Sequence[str] = ()) -> None:
        self._client = client
        self._audiences = list(audiences)
        self._users: ReviewCache[_Token, KubernetesUser | CallerRefused] = ReviewCache(self._review_token)
        self._rights: ReviewCache[tuple[KubernetesUser, ResourceAccess], bool] = ReviewCache(self._review_access)

    def known_user(self, token: str) -> KubernetesUser | CallerRefused | None:
        """Whose the token is, or why nobody's, where that was asked a moment ago."""
        return self._users.known(_Token(token))

    async def user(self, token: str) -> KubernetesUser | CallerRefused:
        """Whose the token is, or why nobody's, or why nobody knows."""
        try:
            return await self._users.answer(_Token(token))
        except (KubeError, TooManyReviews) as error:
            return caller_refused.undecided(str(error))

    def known_right(self, user: KubernetesUser, access: ResourceAccess) -> bool | None:
        """Whether the user may, where that was asked a moment ago."""
        return self._rights.known((user, access))

    async def right(self, user: KubernetesUser, access: ResourceAccess) -> bool:
        """Whether the user may. Raises `CallerRefused` when nobody knows."""
        try:
            return await self._rights.answer((user, access))
        except (KubeError, TooManyReviews) as error:
            raise caller_refused.undecided(str(error)) from error

    async def _review_token(self, token: _Token) -> KubernetesUser | CallerRefused:
        spec: dict[str, Any] = {"token": token.text}
        if self._audiences:
            spec["audiences"] = self._audiences
        status = await self._create(TOKEN_REVIEWS, spec)
        token.text = ""  # what is remembered is whose it was
        if not status.get("authenticated"):
            expired = "expired" in status.get("error", "")
            return caller_refused.expired() if expired else caller_refused.unrecognized()
        if self._audiences and not set(status.get("audiences") or ()) & set(self._audiences):
            return caller_refused.unrecognized()  # an API server that knows nothing of audiences
        found = status.get("user") or {}
        extra = tuple((name, tuple(values)) for name, values in sorted((found.get("extra") or {}).items()))
        groups = tuple(found.get("groups") or ())
        return KubernetesUser(found.get("username", ""), found.get("uid", ""), groups, extra)

    async def _review_access(self, question: tuple[KubernetesUser, ResourceAccess]) -> bool:
        user, access = question
        attributes = {
            "namespace": access.namespace,
            "verb": access.verb,
            "group": labels.GROUP,
            "version": labels.VERSION,
            "resource": access.resource,
            "subresource": access.subresource,
            "name": access.name,
        }
        spec = {
            "resourceAttributes": attributes,
            "user": user.name,
            "uid": user.uid,
            "groups": list(user.groups),
            "extra": {name: list(values) for name, values in user.extra},
        }
        return bool((await self._create(ACCESS_REVIEWS, spec)).get("allowed"))

    async def _create(self, resource: Any, spec: Object) -> Object:
        manifest = {"apiVersion": resource.api_version, "kind": resource.kind, "spec": spec}
        found: Object = (await self._client.create(resource, manifest)).get("status") or {}
        return found
