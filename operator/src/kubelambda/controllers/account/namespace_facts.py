"""What others may know of a namespace: that it is an account, and the annotations by which people set it up."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kubelambda.api import labels
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.cluster import Cluster
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Follow
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.core.account import identity
from kubelambda.core.account.reserved_concurrency import account_quota
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import NAMESPACES


@dataclass(frozen=True, slots=True)
class NamespaceFacts:
    """The parts of a Namespace that we read."""

    uid: str
    created: str
    annotations: dict[str, str]
    """Those of our group."""
    terminating: bool


def namespace_facts(body: Object) -> NamespaceFacts:
    """The facts of a Namespace object."""
    metadata = body["metadata"]
    annotations = {name: value for name, value in (metadata.get("annotations") or {}).items() if labels.GROUP in name}
    return NamespaceFacts(
        metadata["uid"], metadata.get("creationTimestamp", ""), annotations, "deletionTimestamp" in metadata
    )


WATCHED_NAMESPACES = Watch(NAMESPACES, namespace_facts)


def namespace_key(name: str) -> Key:
    """The key by which a namespace is looked at."""
    return Key(NAMESPACES.kind, name, name)


async def known_namespace(context: Context, name: str) -> NamespaceFacts | None:
    """A namespace; asked for when no event showed it yet. None when it is gone.

    What is applied in one go with its namespace may be seen first, and nothing would look at it again.
    """
    known = context.cluster[WATCHED_NAMESPACES].get("", name)
    if known is not None:
        return known
    body = await context.client.find(NAMESPACES, name)
    return None if body is None else await changes.observe(context, WATCHED_NAMESPACES, body)


def with_namespace(watch: Watch[Any]) -> Follow[NamespaceFacts]:
    """Has every object of a namespace looked at that changes: account id and quota are in its annotations."""

    def keys(change: Change[NamespaceFacts]) -> Iterable[Key]:
        return (Key(watch.resource.kind, change.name, name) for name, _ in change.cluster[watch].within(change.name))

    return Follow(WATCHED_NAMESPACES, keys)


def account_of(context: Context, namespace: str) -> str:
    """Account id of a known namespace; empty when it is gone."""
    return account_in(context.cluster, namespace)


def account_in(cluster: Cluster, namespace: str) -> str:
    """Account id of a known namespace; empty when it is gone."""
    found = cluster[WATCHED_NAMESPACES].get("", namespace)
    return identity.namespace_account_id(found.uid, found.annotations) if found is not None else ""


def claim_of(facts: NamespaceFacts) -> identity.AccountClaim:
    """The account id that a namespace names."""
    return identity.AccountClaim(facts.uid, facts.created, facts.annotations.get(labels.ACCOUNT_ID))


def namespace_of_account(cluster: Cluster, account: str) -> str | None:
    """The namespace that an account is: of several that claim its id, the one whose it is."""
    claims = {name: claim_of(facts) for (_, name), facts in cluster[WATCHED_NAMESPACES]}
    ranks = {name: claim.rank for name, claim in claims.items() if claim.id == account}
    return min(ranks, key=ranks.__getitem__, default=None)


def quota_of(context: Context, namespace: str) -> int:
    """Concurrency of a known namespace's account."""
    found = context.cluster[WATCHED_NAMESPACES].get("", namespace)
    annotation = found.annotations.get(labels.CONCURRENT_EXECUTIONS) if found is not None else None
    return account_quota(annotation, context.settings.account_concurrency)
