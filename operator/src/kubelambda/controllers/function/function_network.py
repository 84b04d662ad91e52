"""Looks up where a function's vpcConfig puts it: subnets, groups, and whether there is room (§10.1)."""

from collections.abc import Iterable

from kubelambda.api.kinds.function import FunctionSpec
from kubelambda.api.kinds.vpc_config import DeployedNetwork
from kubelambda.api.reasons import Reason
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.machinery import unseen
from kubelambda.controllers.machinery.asked import Asker
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.controllers.network.enforcement_facts import EnforcementFacts, is_new_verdict, present_enforcement
from kubelambda.controllers.network.network_facts import WATCHED_GROUPS, WATCHED_SUBNETS, GroupFacts, SubnetFacts
from kubelambda.controllers.network.node_facts import NodeFacts, zones_with_addresses
from kubelambda.core.function.observation import Problem
from kubelambda.core.network.network_set import (
    NetworkSet,
    configured_set,
    missing_addresses,
    missing_groups,
    missing_subnets,
)
from kubelambda.core.network.network_use import unusable_text


async def network_of(context: Context, asker: Asker, spec: FunctionSpec | Problem) -> DeployedNetwork | Problem | None:
    """The network of a function, or why it cannot be there; None of one without a vpcConfig."""
    found = None if isinstance(spec, Problem) else configured_set(spec.vpc_config)
    if found is None:
        return None
    namespace = asker.key.namespace
    for name in found.subnets:
        await unseen.find(context, asker, WATCHED_SUBNETS, namespace, name)
    for name in found.groups:
        await unseen.find(context, asker, WATCHED_GROUPS, namespace, name)
    problem = _not_served(context) or _missing(context, namespace, found)
    if problem is not None:
        return problem
    zones = _zones(context, namespace, found)
    return DeployedNetwork(
        set=found.id,
        subnets=list(found.subnets),
        security_groups=list(found.groups),
        zones=[] if None in zones else sorted(zone for zone in zones if zone),
    )


def _not_served(context: Context) -> Problem | None:
    """Why nothing would keep environments to their network."""
    if not context.settings.network.policies:
        message = "vpcConfig needs NetworkPolicies, which this installation does not make (networkPolicies.enabled)"
        return Problem(Reason.NETWORK_NOT_SERVED, message)
    enforcement = present_enforcement(context)
    if enforcement.enforced is False and context.settings.network.require_enforcement:
        return Problem(enforcement.reason, enforcement.message)
    return None


def _missing(context: Context, namespace: str, wanted: NetworkSet) -> Problem | None:
    """What is not there of a set."""
    subnets = dict(context.cluster[WATCHED_SUBNETS].within(namespace))
    groups = dict(context.cluster[WATCHED_GROUPS].within(namespace))
    if (missing := missing_subnets(wanted, subnets)) is not None:
        return Problem(Reason.INVALID_SUBNET, missing)
    if (missing := missing_groups(wanted, groups)) is not None:
        return Problem(Reason.INVALID_SECURITY_GROUP, missing)
    for name in wanted.groups:
        if groups[name].unusable:
            message = f"the rules of security group '{name}' cannot hold: {unusable_text(groups[name].unusable)}"
            return Problem(Reason.INVALID_SECURITY_GROUP, message)
    if context.settings.network.require_nodes:
        zones = _zones(context, namespace, wanted)
        if (missing := missing_addresses(zones, zones_with_addresses(context.cluster))) is not None:
            return Problem(Reason.SUBNET_OUT_OF_IP_ADDRESSES, missing)
    return None


def _zones(context: Context, namespace: str, wanted: NetworkSet) -> set[str | None]:
    """Zones of its subnets; None for one that is everywhere."""
    known = context.cluster[WATCHED_SUBNETS]
    return {subnet.zone for name in wanted.subnets if (subnet := known.get(namespace, name)) is not None}


def users_of_part(change: Change[SubnetFacts] | Change[GroupFacts]) -> Iterable[Key]:
    """Functions that waited for a subnet or group, lose one, or move; what a group allows concerns its policy only.

    Unless no policy can have its rules.
    """
    said = {facts.zone if isinstance(facts, SubnetFacts) else facts.unusable for facts in change.either}
    if change.before is None or change.after is None or len(said) > 1:
        for name, facts in change.cluster[WATCHED_FUNCTIONS].within(change.namespace):
            if any(change.name in (*found.subnets, *found.groups) for found in facts.networks):
                yield Key("Function", change.namespace, name)


def users_of_zone(change: Change[NodeFacts]) -> Iterable[Key]:
    """Functions with a subnet in a zone that may have got its first node, or lost its last."""
    zones = {facts.zone for facts in change.either} - {None}
    if not zones:
        return
    subnets = {name for name, subnet in change.cluster[WATCHED_SUBNETS] if subnet.zone in zones}
    for (namespace, name), facts in change.cluster[WATCHED_FUNCTIONS]:
        if any((namespace, subnet) in subnets for found in facts.networks for subnet in found.subnets):
            yield Key("Function", namespace, name)


def users_of_enforcement(change: Change[EnforcementFacts]) -> Iterable[Key]:
    """Those with a vpcConfig."""
    if is_new_verdict(change):
        for (namespace, name), facts in change.cluster[WATCHED_FUNCTIONS]:
            if facts.networks:
                yield Key("Function", namespace, name)
