"""Accounts and the namespaces that they are, kept current by a watch (DESIGN §10)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubelambda.api import labels
from kubelambda.core.account.identity import namespace_account_id
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.reflector import Name, Reflector
from kubelambda.kube.resources import NAMESPACES


@dataclass(frozen=True, slots=True)
class AccountView:
    """A namespace as an account."""

    namespace: str
    id: str
    quota_annotation: str | None


class AccountDirectory:
    """All accounts of the cluster."""

    def __init__(self, client: KubeClient) -> None:
        self._by_id: dict[str, str] = {}
        self.namespaces = Reflector(client, NAMESPACES, account_view, on_change=self._changed)

    @property
    def ready(self) -> bool:
        """Whether it has seen every namespace once."""
        return self.namespaces.synced.is_set()

    def by_id(self, account: str) -> AccountView | None:
        """The account with that 12-digit id."""
        namespace = self._by_id.get(account)
        return self.by_namespace(namespace) if namespace else None

    def by_namespace(self, namespace: str) -> AccountView | None:
        """The account that a namespace is."""
        return self.namespaces.items.get(("", namespace))

    def _changed(self, name: Name, before: AccountView | None, after: AccountView | None) -> None:  # noqa: ARG002
        if before is not None:
            self._by_id.pop(before.id, None)
        if after is not None:
            self._by_id[after.id] = after.namespace


def account_view(body: Mapping[str, Any]) -> AccountView:
    """The view of a Namespace object."""
    metadata = body["metadata"]
    annotations = metadata.get("annotations") or {}
    account = namespace_account_id(metadata["uid"], annotations)
    return AccountView(metadata["name"], account, annotations.get(labels.CONCURRENT_EXECUTIONS))
