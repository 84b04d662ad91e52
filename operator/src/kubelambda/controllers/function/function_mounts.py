"""Looks up what a function wants beside its code: layer versions and access points."""

import hmac
from collections.abc import Iterable

from kubelambda.api.kinds.function import DeployedCode, DeployedConfiguration, FunctionSpec
from kubelambda.api.kinds.function_image import DeployedImage
from kubelambda.api.kinds.function_mounts import DeployedFileSystem, DeployedLayer
from kubelambda.api.reasons import Reason
from kubelambda.controllers.code import unzipped
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.file_system.access_point_facts import WATCHED_ACCESS_POINTS
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.layer.layer_facts import WATCHED_LAYER_VERSIONS
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.core.code.invalid_archive import InvalidArchive
from kubelambda.core.code.layer_versions import (
    LayerScope,
    LayerVersionFacts,
    chosen_layers,
    deployed_layer,
    too_large_together,
)
from kubelambda.core.file_system.mounts import AccessPointFacts, deployed_file_systems, network_problem
from kubelambda.core.function.observation import Problem
from kubelambda.store.code.code_store import CodeStoreUnavailable


async def layers_of(
    state: CodeState,
    context: Context,
    namespace: str,
    spec: FunctionSpec,
    *,
    account: str,
    code: DeployedCode | DeployedImage | Problem | None,
    before: DeployedConfiguration | None,
) -> tuple[DeployedLayer, ...] | Problem:
    """The layers to deploy, or why they cannot be used. What is deployed already is not measured again."""
    if not spec.layers:
        return ()
    scope = LayerScope(context.settings.region, account, spec.runtime or "")
    known = dict(context.cluster[WATCHED_LAYER_VERSIONS].within(namespace))
    chosen = chosen_layers(spec.layers, known, scope)
    if isinstance(chosen, Problem):
        return chosen
    for version in chosen:
        if not hmac.compare_digest(version.signature, state.store.upload_signature(namespace, version.sha256)):
            text = f"version {version.number} of layer {version.layer} was not published by this installation"
            return Problem(Reason.INVALID_LAYERS, text, terminal=True)
    layers = tuple(deployed_layer(version, scope) for version in chosen)
    if isinstance(code, DeployedCode) and not (before and before.code == code and tuple(before.layers) == layers):
        problem = await _too_large(state, code, chosen)
        if problem is not None:
            return problem
    return layers


async def _too_large(state: CodeState, code: DeployedCode, layers: Iterable[LayerVersionFacts]) -> Problem | None:
    try:
        return too_large_together(await unzipped.unzipped_size(state, code.sha256), layers)
    except CodeStoreUnavailable as error:
        return Problem(Reason.CODE_STORE_UNAVAILABLE, str(error))
    except InvalidArchive as error:
        return Problem(Reason.INVALID_CODE, str(error), terminal=True)


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


def users_of_layer(change: Change[LayerVersionFacts]) -> Iterable[str]:
    """Functions that wait for a layer version, or lose one."""
    if change.before is None or change.after is None:
        for name, facts in change.cluster[WATCHED_FUNCTIONS].within(change.namespace):
            if change.name in facts.layer_versions:
                yield name


def users_of_access_point(change: Change[AccessPointFacts]) -> Iterable[str]:
    """Functions that mount it, or want to."""
    for name, facts in change.cluster[WATCHED_FUNCTIONS].within(change.namespace):
        if change.name in facts.access_points:
            yield name
