"""Accounts and the namespaces that they are, kept current by a watch (DESIGN §10)."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubelambda.api import labels
from kubelambda.core.account.identity import AccountClaim
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.late_news import LateNews
from kubelambda.kube.reflector import Name, Reflector
from kubelambda.kube.resources import NAMESPACES


@dataclass(frozen=True, slots=True)
class AccountView:
    """A namespace as an account."""

    namespace: str
    id: str
    quota_annotation: str | None
    auth_mode: str | None = None
    """How its callers must prove who they are, where it asks for more than the installation."""
    rank: tuple[bool, str, str] = (True, "", "")
    """Its place among those that claim the same id: the lowest has it."""


class AccountDirectory:
    """All accounts of the cluster."""

    def __init__(self, client: KubeClient) -> None:
        self._by_id: defaultdict[str, dict[str, tuple[bool, str, str]]] = defaultdict(dict)
        self._news = LateNews()
        self.namespaces = Reflector(client, NAMESPACES, account_view, on_change=self._changed)

    @property
    def ready(self) -> bool:
        """Whether it has seen every namespace once."""
        return self.namespaces.synced.is_set()

    def by_id(self, account: str) -> AccountView | None:
        """The account with that 12-digit id; of several that claim it, the one whose it is."""
        claims = self._by_id.get(account, {})
        namespace = min(claims, key=claims.__getitem__, default=None)
        return self.by_namespace(namespace) if namespace else None

    def by_namespace(self, namespace: str) -> AccountView | None:
        """The account that a namespace is."""
        return self.namespaces.items.get(("", namespace))

    async def await_namespace(self, namespace: str) -> AccountView | None:
        """The account that a namespace is, which may have been made a moment ago."""
        await self._news.wait(lambda: self.by_namespace(namespace) is not None)
        return self.by_namespace(namespace)

    def _changed(self, name: Name, before: AccountView | None, after: AccountView | None) -> None:  # noqa: ARG002
        if before is not None:
            self._by_id[before.id].pop(before.namespace, None)
            if not self._by_id[before.id]:
                del self._by_id[before.id]
        if after is not None:
            self._by_id[after.id][after.namespace] = after.rank
            self._news.heard()


def account_view(body: Mapping[str, Any]) -> AccountView:
    """The view of a Namespace object."""
    metadata = body["metadata"]
    annotations = metadata.get("annotations") or {}
    claim = AccountClaim(metadata["uid"], metadata.get("creationTimestamp", ""), annotations.get(labels.ACCOUNT_ID))
    return AccountView(
        metadata["name"],
        claim.id,
        annotations.get(labels.CONCURRENT_EXECUTIONS),
        annotations.get(labels.AUTH_MODE),
        claim.rank,
    )
