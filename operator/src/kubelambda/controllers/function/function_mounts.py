"""Looks up what a function wants to be mounted: access points."""

from collections.abc import Iterable

from kubelambda.api.kinds.function import FunctionSpec
from kubelambda.api.kinds.function_mounts import DeployedFileSystem
from kubelambda.controllers.file_system.access_point_facts import WATCHED_ACCESS_POINTS
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.core.file_system.mounts import AccessPointFacts, deployed_file_systems, network_problem
from kubelambda.core.function.observation import Problem


def file_systems_of(context: Context, key: Key, spec: FunctionSpec) -> tuple[DeployedFileSystem, ...] | Problem:
    """The file systems to mount, or why they cannot be."""
    if not spec.file_system_configs:
        return ()
    problem = network_problem(
        spec.file_system_configs, closed=spec.vpc_config is not None, required=context.settings.file_systems.require_vpc
    )
    if problem is not None:
        return problem
    known = dict(context.cluster[WATCHED_ACCESS_POINTS].within(key.namespace))
    return deployed_file_systems(spec.file_system_configs, known)


def users_of_access_point(change: Change[AccessPointFacts]) -> Iterable[Key]:
    """Functions that mount it, or want to."""
    for name, facts in change.cluster[WATCHED_FUNCTIONS].within(change.namespace):
        if change.name in facts.access_points:
            yield Key("Function", change.namespace, name)
