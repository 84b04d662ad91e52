"""Looks up what a function wants to be mounted: access points."""

from collections.abc import Iterable
from dataclasses import replace

from kubelambda.api.conditions import Condition
from kubelambda.api.kinds.function import FunctionSpec
from kubelambda.api.kinds.function_mounts import DeployedFileSystem
from kubelambda.api.kinds.vpc_config import DeployedNetwork
from kubelambda.controllers.file_system.access_point_facts import WATCHED_ACCESS_POINTS
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.machinery import unseen
from kubelambda.controllers.machinery.asked import Asker
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.core.file_system.access_point_arn import access_point_name
from kubelambda.core.file_system.mounts import AccessPointFacts, deployed_file_systems, network_problem
from kubelambda.core.function.observation import Problem
from kubelambda.kube.resources import PERSISTENT_VOLUME_CLAIMS


async def file_systems_of(
    context: Context, asker: Asker, spec: FunctionSpec, network: DeployedNetwork | Problem | None
) -> tuple[DeployedFileSystem, ...] | Problem:
    """The file systems to mount, or why they cannot be. `network` is where the function's vpcConfig puts it."""
    if not spec.file_system_configs:
        return ()
    problem = network_problem(
        spec.file_system_configs, closed=spec.vpc_config is not None, required=context.settings.file_systems.require_vpc
    )
    if problem is not None:
        return problem
    namespace = asker.key.namespace
    known: dict[str, AccessPointFacts] = {}
    for name in dict.fromkeys(access_point_name(config.arn) for config in spec.file_system_configs):
        found = await unseen.find(context, asker, WATCHED_ACCESS_POINTS, namespace, name)
        if found is not None and found.claim_missing and await _has_come(context, asker, found):
            context.queues.add(Key("AccessPoint", namespace, name))
            found = replace(found, looked_at=False, message="is looked at again: its claim is there now")
        if found is not None:
            known[name] = found
    zones = network.zones if isinstance(network, DeployedNetwork) else []
    return deployed_file_systems(spec.file_system_configs, known, zones)


async def _has_come(context: Context, asker: Asker, access_point: AccessPointFacts) -> bool:
    """Whether a claim that was missing is there: nothing tells of claims, and it may have come just before."""
    name = access_point.spec.persistent_volume_claim
    return await unseen.exists(context, asker, PERSISTENT_VOLUME_CLAIMS, asker.key.namespace, name)


def mounted_before(context: Context, key: Key, spec: FunctionSpec) -> Condition | None:
    """Whether environments could mount its access point, where that was tried; of several, the first that failed."""
    known = context.cluster[WATCHED_ACCESS_POINTS]
    points = (known.get(key.namespace, access_point_name(each.arn)) for each in spec.file_system_configs)
    told = [point.mounted for point in points if point is not None and point.mounted is not None]
    return min(told, key=lambda condition: condition.status, default=None)


def users_of_access_point(change: Change[AccessPointFacts]) -> Iterable[Key]:
    """Functions that mount it, or want to."""
    for name, facts in change.cluster[WATCHED_FUNCTIONS].within(change.namespace):
        if change.name in facts.access_points:
            yield Key("Function", change.namespace, name)
