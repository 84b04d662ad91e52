"""Reconciles Subnets and SecurityGroups: one that functions use is held while somebody wants it gone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kubelambda.api import labels
from kubelambda.api.conditions import Condition
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.function.version_facts import WATCHED_VERSIONS, VersionFacts
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.cluster import Cluster
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.finalizers import hold, users_of
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.controllers.network.invoke_endpoint_facts import WATCHED_ENDPOINTS, InvokeEndpointFacts
from kubelambda.controllers.network.network_facts import WATCHED_GROUPS, WATCHED_SUBNETS, GroupFacts
from kubelambda.controllers.network.node_facts import WATCHED_NODES, NodeFacts, changes_families, families_of_pods
from kubelambda.core.network.network_set import NetworkSet
from kubelambda.core.network.network_use import part_conditions, unmatched_blocks
from kubelambda.kube.event_recorder import record_event
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import Resource

_CONDITIONS = TypeAdapter(list[Condition])


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the two kinds."""

    watch: Watch[Any]
    names: Callable[[NetworkSet], tuple[str, ...]]
    """Those of this kind in a set."""
    of_groups: bool = False
    """Whether they are groups, which have rules, and which InvokeEndpoints name too."""

    @property
    def kind(self) -> str:
        """Kind of the objects, and of the keys."""
        return self.watch.resource.kind

    def users(self, cluster: Cluster, namespace: str, name: str) -> list[str]:
        """What names it, or runs with it."""
        found = [
            f"Function {user}"
            for user, function in cluster[WATCHED_FUNCTIONS].within(namespace)
            if any(name in self.names(each) for each in function.networks)
        ]
        found += [
            f"FunctionVersion {user}"
            for user, version in cluster[WATCHED_VERSIONS].within(namespace)
            if version.network is not None and name in self.names(version.network)
        ]
        if self.of_groups:
            endpoints = cluster[WATCHED_ENDPOINTS].within(namespace)
            found += [f"InvokeEndpoint {user}" for user, endpoint in endpoints if name in endpoint.groups]
        return sorted(found)

    def keys(self, namespace: str, *sets: NetworkSet) -> Iterable[Key]:
        """Those that are in one of the sets."""
        return (
            Key(self.kind, namespace, name) for name in sorted({name for each in sets for name in self.names(each)})
        )


async def reconcile(part: _Part, context: Context, key: Key) -> Outcome:
    """One Subnet or SecurityGroup. The finalizer is there as long as it is used."""
    resource = part.watch.resource
    body = await context.client.find(resource, key.name, key.namespace)
    if body is None:
        changes.forget(context, part.watch, key.namespace, key.name, by=key)
        return None
    await changes.observe(context, part.watch, body, by=key)
    terminating = "deletionTimestamp" in body["metadata"]
    users = await users_of(
        context,
        key,
        body,
        labels.NETWORK_FINALIZER,
        lambda: part.users(context.cluster, key.namespace, key.name),
        WATCHED_FUNCTIONS,
        *((WATCHED_ENDPOINTS,) if part.of_groups else ()),
    )
    before = _conditions(body)
    facts = context.cluster[part.watch].get(key.namespace, key.name)
    group = facts if isinstance(facts, GroupFacts) else None
    unmatched = unmatched_blocks(group.spec, families_of_pods(context.cluster)) if group else ()
    unusable = group.unusable if group else ()
    now = datetime.now(UTC)
    after = part_conditions(before, users, terminating=terminating, unmatched=unmatched, unusable=unusable, now=now)
    if after != before:
        manifest = {
            "metadata": {"name": key.name, "namespace": key.namespace},
            "status": {
                "conditions": [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in after]
            },
        }
        body = await context.client.apply(resource, manifest, manager=FIELD_MANAGER, subresource="status")
        await _tell(context, resource, body, before, after)
    await hold(context, resource, body, labels.NETWORK_FINALIZER, held=bool(users))
    return None


async def _tell(
    context: Context, resource: Resource, body: Object, before: Sequence[Condition], after: Sequence[Condition]
) -> None:
    """An event for whoever describes a group whose rules cannot hold."""
    known = {(each.type, each.message) for each in before}
    for each in after:
        if each.type == "RulesInForce" and (each.type, each.message) not in known:
            note, metadata = each.message, body["metadata"]
            await record_event(context.client, resource, metadata, each.reason, note, warning=True, action="Reconcile")


def _conditions(body: Object) -> list[Condition]:
    try:
        return _CONDITIONS.validate_python((body.get("status") or {}).get("conditions") or [])
    except ValidationError:
        return []


def _controller(part: _Part) -> Controller[Context]:
    def itself(change: Change[Any]) -> Iterable[Key]:
        yield Key(part.kind, change.namespace, change.name)

    def of_function(change: Change[FunctionFacts]) -> Iterable[Key]:
        before, after = (facts.networks if facts else () for facts in (change.before, change.after))
        return part.keys(change.namespace, *(set(before) ^ set(after)))

    def of_version(change: Change[VersionFacts]) -> Iterable[Key]:
        before, after = (facts.network if facts else None for facts in (change.before, change.after))
        found = [each for each in (before, after) if each is not None]
        return part.keys(change.namespace, *found) if before != after else ()

    def of_endpoint(change: Change[InvokeEndpointFacts]) -> Iterable[Key]:
        groups = {group for facts in change.either for group in facts.groups}
        return (Key(part.kind, change.namespace, name) for name in sorted(groups))

    def of_node(change: Change[NodeFacts]) -> Iterable[Key]:
        if changes_families(change):
            for (namespace, name), _ in change.cluster[WATCHED_GROUPS]:
                yield Key(part.kind, namespace, name)

    follows = [
        Follow(part.watch, itself, resync=True),
        Follow(WATCHED_FUNCTIONS, of_function),
        Follow(WATCHED_VERSIONS, of_version),
    ]
    if part.of_groups:
        follows += [Follow(WATCHED_ENDPOINTS, of_endpoint), Follow(WATCHED_NODES, of_node)]
    return Controller(part.kind, partial(reconcile, part), follows=tuple(follows))


CONTROLLERS = (
    _controller(_Part(WATCHED_SUBNETS, lambda found: found.subnets)),
    _controller(_Part(WATCHED_GROUPS, lambda found: found.groups, of_groups=True)),
)
