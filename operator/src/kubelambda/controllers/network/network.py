"""Reconciles the networks of a namespace: one policy a set of subnets and groups."""

import logging
from collections.abc import Iterable

from kubelambda.api import labels
from kubelambda.controllers.account.namespace_facts import WATCHED_NAMESPACES
from kubelambda.controllers.account.policy_facts import WATCHED_POLICIES, PolicyFacts
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.function.version_facts import WATCHED_VERSIONS, VersionFacts
from kubelambda.controllers.machinery import desired
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.controllers.network.invoke_endpoint_facts import WATCHED_ENDPOINTS, InvokeEndpointFacts
from kubelambda.controllers.network.network_facts import WATCHED_GROUPS, WATCHED_SUBNETS, GroupFacts, SubnetFacts
from kubelambda.core.network.network_set import NetworkSet
from kubelambda.core.network.traffic_rules import PolicyRule, Reach, egress_rules, ingress_rules
from kubelambda.kube.errors import Invalid
from kubelambda.kube.kube_client import Object
from kubelambda.resources.environment_network_policy import ours
from kubelambda.resources.network_set_policy import network_policy_name, network_set_policy

KIND = "Network"

log = logging.getLogger(__name__)


async def reconcile(context: Context, key: Key) -> Outcome:
    """The sets of `key.namespace`."""
    namespace = context.cluster[WATCHED_NAMESPACES].get("", key.namespace)
    if namespace is None or namespace.terminating:
        return None
    wanted = {found.id: found for found in _used(context, key.namespace)}
    refused = await _keep(context, key, wanted.values()) if context.settings.network.policies else None
    for _, facts in list(context.cluster[WATCHED_POLICIES].within(key.namespace)):
        if facts.of != labels.NETWORK_POLICY_BASE and facts.of not in wanted:
            await desired.remove(context, WATCHED_POLICIES, key.namespace, network_policy_name(facts.of), by=key)
    if refused is not None:
        raise refused  # it is tried again, more and more rarely
    return None


async def _keep(context: Context, key: Key, wanted: Iterable[NetworkSet]) -> Invalid | None:
    """Makes the policies of sets. One that the API server refuses stays as it was, and keeps no other from changing."""
    refused = None
    for found in wanted:
        try:
            await desired.keep(context, WATCHED_POLICIES, _policy(context, key.namespace, found), by=key)
        except Invalid as error:
            refused = error
            log.warning("the rules of groups %s of %s are refused: %s", ", ".join(found.groups), key.namespace, error)
    return refused


def _used(context: Context, namespace: str) -> Iterable[NetworkSet]:
    """Sets that a function is or will be in, or a version of one still is."""
    for _, function in context.cluster[WATCHED_FUNCTIONS].within(namespace):
        yield from function.networks
    for _, version in context.cluster[WATCHED_VERSIONS].within(namespace):
        if version.network is not None:
            yield version.network


def _policy(context: Context, namespace: str, found: NetworkSet) -> Object:
    """What is missing of a set allows nothing."""
    subnets, groups = context.cluster[WATCHED_SUBNETS], context.cluster[WATCHED_GROUPS]
    internet = any(subnet.internet for name in found.subnets if (subnet := subnets.get(namespace, name)))
    known = [group.spec for name in found.groups if (group := groups.get(namespace, name))]
    reach = Reach(internet, context.settings.network.refused_networks)
    egress = [*egress_rules(known, reach), *_endpoint_rules(context, namespace, found)]
    return network_set_policy(namespace, found.id, egress=egress, ingress=ingress_rules(known))


def _endpoint_rules(context: Context, namespace: str, found: NetworkSet) -> list[PolicyRule]:
    """Members of a group that an InvokeEndpoint names reach it without a rule of the group."""
    ports = sorted(
        endpoint.port
        for _, endpoint in context.cluster[WATCHED_ENDPOINTS].within(namespace)
        if endpoint.port is not None and set(endpoint.groups) & set(found.groups)
    )
    frontends = ours(context.settings.system_namespace, "frontend")
    return [{"to": [frontends], "ports": [{"protocol": "TCP", "port": port}]} for port in ports]


def _of_function(change: Change[FunctionFacts]) -> Iterable[Key]:
    before, after = (facts.networks if facts else () for facts in (change.before, change.after))
    if before != after or (change.before is None and after):
        yield Key(KIND, change.namespace, change.namespace)


def _of_version(change: Change[VersionFacts]) -> Iterable[Key]:
    before, after = (facts.network if facts else None for facts in (change.before, change.after))
    if before != after:
        yield Key(KIND, change.namespace, change.namespace)


def _of_part(change: Change[SubnetFacts] | Change[GroupFacts]) -> Iterable[Key]:
    yield Key(KIND, change.namespace, change.namespace)


def _of_endpoint(change: Change[InvokeEndpointFacts]) -> Iterable[Key]:
    before, after = ((facts.port, facts.groups) if facts else (None, ()) for facts in (change.before, change.after))
    if before != after:
        yield Key(KIND, change.namespace, change.namespace)


def _of_policy(change: Change[PolicyFacts]) -> Iterable[Key]:
    if any(facts.of != labels.NETWORK_POLICY_BASE for facts in change.either):
        yield Key(KIND, change.namespace, change.namespace)


CONTROLLER = Controller(
    KIND,
    reconcile,
    follows=(
        Follow(WATCHED_FUNCTIONS, _of_function, resync=True),
        Follow(WATCHED_VERSIONS, _of_version),
        Follow(WATCHED_SUBNETS, _of_part),
        Follow(WATCHED_GROUPS, _of_part),
        Follow(WATCHED_ENDPOINTS, _of_endpoint),
        Follow(WATCHED_POLICIES, _of_policy, resync=True),
    ),
)
