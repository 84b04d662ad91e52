"""Reconciles a Function: code verified and published, references checked, reservation granted, status reported."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final

from pydantic import ValidationError

from kubelambda.api.conditions import Condition
from kubelambda.api.kinds.deployed_configuration import DeployedCode
from kubelambda.api.kinds.deployed_signing import DeployedSigning
from kubelambda.api.kinds.function import FunctionSpec, FunctionStatus, PackageType
from kubelambda.api.kinds.function_image import IMAGE_RUNTIME, DeployedImage
from kubelambda.api.kinds.function_mounts import DeployedFileSystem, DeployedLayer
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.reasons import Reason
from kubelambda.controllers.account.namespace_facts import WATCHED_NAMESPACES, account_of, quota_of, with_namespace
from kubelambda.controllers.code import code_source, image_source
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.code.signing_facts import WATCHED_SIGNING_CONFIGS, WATCHED_SIGNING_PROFILES
from kubelambda.controllers.event.event_target_facts import destinations_of, with_targets
from kubelambda.controllers.file_system.access_point_facts import WATCHED_ACCESS_POINTS
from kubelambda.controllers.function import (
    function_layers,
    function_mounts,
    function_network,
    function_pool,
    function_signing,
    references,
)
from kubelambda.controllers.function.alias_facts import WATCHED_ALIASES, AliasFacts
from kubelambda.controllers.function.decisions import Decisions
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.function.object_url import own_url
from kubelambda.controllers.function.secret_questions import SecretsUnknown, keys_of
from kubelambda.controllers.function.version_facts import WATCHED_VERSIONS, VersionFacts
from kubelambda.controllers.layer.layer_facts import WATCHED_LAYER_VERSIONS, WATCHED_LAYERS
from kubelambda.controllers.machinery import changes, recorder, unseen
from kubelambda.controllers.machinery.asked import Asker
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.object_status import read_status, report_status
from kubelambda.controllers.machinery.work_queue import BackOff, Key, Outcome
from kubelambda.controllers.network.enforcement_facts import (
    WATCHED_ENFORCEMENT,
    present_enforcement,
)
from kubelambda.controllers.network.network_facts import WATCHED_GROUPS, WATCHED_SUBNETS
from kubelambda.controllers.network.node_facts import WATCHED_NODES
from kubelambda.controllers.pool.pool_facts import WATCHED_POOLS
from kubelambda.controllers.pool.runtime_facts import WATCHED_RUNTIMES, RuntimeFacts
from kubelambda.core.account import identity
from kubelambda.core.account.reserved_concurrency import Grant, ReservationRequest, allocate
from kubelambda.core.environment.sizing import bandwidth_mbit
from kubelambda.core.function import lambda_runtimes
from kubelambda.core.function.function_status import decide
from kubelambda.core.function.object_name import function_name_of
from kubelambda.core.function.observation import Observation, Problem, invalid_spec
from kubelambda.core.function.problems import findings, first_fault
from kubelambda.kube.jitter import spread
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import FUNCTIONS

KIND = "Function"
LOOK_AGAIN_MAX_S = 30.0
"""The longest pause before a missing Secret or ConfigMap is looked for again; nothing tells us when it appears."""
CONFIG_MAP_CHECK_S = 60.0
"""How often a ConfigMap that holds code is looked at; the kubelet takes as long to update a mounted one."""
_WHILE_CODE_IS_FOLLOWED: Final = frozenset(
    {None, Reason.INVALID_CODE, Reason.REFUSED, Reason.POOL_FAILING, Reason.TARGET_NOT_FOUND}
)
"""What may be said of a Function while its ConfigMap is looked at for other code."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class FunctionMemory:
    """What is remembered of Functions beyond their facts."""

    code: CodeState
    grants: Decisions[int | None] = field(default_factory=Decisions)
    """Reserved concurrency."""


async def reconcile(memory: FunctionMemory, context: Context, key: Key) -> Outcome:
    """One Function. Deleting its environments is the garbage collector's work; ours is to forget it."""
    body = await context.client.find(FUNCTIONS, key.name, key.namespace)
    if body is None:
        memory.code.forget(key)
        memory.grants.forget(key)
        changes.forget(context, WATCHED_FUNCTIONS, key.namespace, key.name, by=key)
        return None
    await changes.observe(context, WATCHED_FUNCTIONS, body, by=key)
    if "deletionTimestamp" in body["metadata"]:
        return None
    before = read_status(FunctionStatus, body)
    try:
        observed = await _observe(memory, context, key, body, before)
    except SecretsUnknown as error:  # the status stays what it is until somebody can say
        log.info("function %s/%s waits: %s", key.namespace, key.name, error)
        return BackOff(LOOK_AGAIN_MAX_S)
    status = decide(observed, datetime.now(UTC))
    if status != before:
        await _report(context, key, body, before, status)
        await function_signing.tell(memory.code, context, key, body, before=before, after=status)
    return _next_look(observed)


def _next_look(observed: Observation) -> Outcome:
    """Runtimes, reservations and downloads announce themselves; what else is missing must be looked for."""
    fault = first_fault(findings(observed))
    match fault.reason if fault else None:
        case Reason.REFERENCE_MISSING | Reason.CODE_STORE_UNAVAILABLE:
            return BackOff(LOOK_AGAIN_MAX_S)
        case Reason.IN_PROGRESS if isinstance(observed.file_systems, Problem) or isinstance(observed.layers, Problem):
            return BackOff(LOOK_AGAIN_MAX_S)
        case Reason.CODE_UNAVAILABLE if _is_stored(observed) or _follows_config_map(observed):
            return BackOff(LOOK_AGAIN_MAX_S)
        case reason if reason in _WHILE_CODE_IS_FOLLOWED and _follows_config_map(observed):
            return spread(CONFIG_MAP_CHECK_S)
    return None


def _is_stored(observed: Observation) -> bool:
    """Whether the code was uploaded: whoever uploads the same once more changes nothing of the Function."""
    return isinstance(observed.spec, FunctionSpec) and observed.spec.code.stored is not None


def _follows_config_map(observed: Observation) -> bool:
    return isinstance(observed.spec, FunctionSpec) and observed.spec.code.config_map_ref is not None


async def _observe(
    memory: FunctionMemory, context: Context, key: Key, body: Object, before: FunctionStatus
) -> Observation:
    account = account_of(context, key.namespace)
    spec = _spec(body)
    asker = Asker.of(key, body)
    runtime = await _runtime(context, asker, spec)
    code: DeployedCode | DeployedImage | Problem | None = None
    missing = None
    layers: tuple[DeployedLayer, ...] | Problem = ()
    file_systems: tuple[DeployedFileSystem, ...] | Problem = ()
    signing: DeployedSigning | Problem | None = None
    mounted: Condition | None = None
    network = await function_network.network_of(context, asker, spec)
    if isinstance(spec, FunctionSpec):
        ask = partial(keys_of, context.settings, context.key)
        missing = await references.missing(context.client, ask, key.namespace, spec.environment)
        if isinstance(runtime, RuntimeSpec) and spec.package_type is PackageType.IMAGE:
            pinned = before.deployed.image if before.deployed else None
            code = image_source.resolve(memory.code, context, key, spec, pinned)
        elif isinstance(runtime, RuntimeSpec):
            deployed = before.deployed.code if before.deployed else None
            code = await code_source.resolve(
                memory.code, context, key, spec.code, inline_file_name=runtime.inline_file_name, deployed=deployed
            )
        layers = await function_layers.layers_of(
            memory.code, context, asker, spec, account=account, code=code, before=before.deployed
        )
        signing = await function_signing.signing_of(
            memory.code, context, asker, spec, account=account, code=code, layers=layers, before=before.deployed
        )
        file_systems = await function_mounts.file_systems_of(context, asker, spec, network)
        mounted = function_mounts.mounted_before(context, key, spec)
    return Observation(
        name=key.name,
        generation=body["metadata"]["generation"],
        arn=identity.function_arn(context.settings.region, account, function_name_of(body)),
        url=own_url(context.settings, body) if isinstance(spec, FunctionSpec) and spec.url else None,
        before=before,
        grant=_grant(memory, context, key),
        spec=spec,
        runtime=runtime,
        pool_failure=function_pool.pool_failure(context, key),
        code=code,
        references=missing,
        network=network,
        enforcement=present_enforcement(context) if network is not None else None,
        layers=layers,
        file_systems=file_systems,
        destinations=await destinations_of(context, asker, body),
        signing=signing,
        bandwidth_mbit=_bandwidth(context, spec),
        mounted=mounted,
    )


def _bandwidth(context: Context, spec: FunctionSpec | Problem) -> int | None:
    if isinstance(spec, Problem):
        return None
    return bandwidth_mbit(spec.memory_size, context.settings.environments.bandwidth_mbit_per_gb)


def _spec(body: Object) -> FunctionSpec | Problem:
    try:
        return FunctionSpec.model_validate(body["spec"])
    except ValidationError as error:
        return invalid_spec(error)


async def _runtime(context: Context, asker: Asker, spec: FunctionSpec | Problem) -> RuntimeSpec | Problem | None:
    if isinstance(spec, Problem):
        return None
    image = spec.package_type is PackageType.IMAGE
    name = IMAGE_RUNTIME if image else spec.runtime or ""
    nameable = image or name != IMAGE_RUNTIME
    found = await unseen.find(context, asker, WATCHED_RUNTIMES, "", name) if nameable else None
    if found is None:
        known = [name for _, name in context.cluster[WATCHED_RUNTIMES].names()]
        return Problem(Reason.RUNTIME_NOT_FOUND, lambda_runtimes.absence(name, known))
    try:
        return RuntimeSpec.model_validate(found.spec, extra="ignore")
    except ValidationError as error:
        return Problem(Reason.RUNTIME_NOT_FOUND, f"Runtime {name} cannot be used: {error.errors()[0]['msg']}")


def _grant(memory: FunctionMemory, context: Context, key: Key) -> Grant:
    """Decided and remembered in one go: two functions that ask at once can never both get what is there once."""
    functions = context.cluster[WATCHED_FUNCTIONS]
    provisioned = _provisioned_by_function(context, key.namespace)
    requests = [
        ReservationRequest(
            name, facts.created, facts.requested, memory.grants.of(facts.uid, facts.granted), provisioned.get(name, 0)
        )
        for name, facts in functions.within(key.namespace)
        if facts.requested is not None or facts.granted is not None or name in provisioned
    ]
    grants = allocate(
        requests,
        quota=quota_of(context, key.namespace),
        minimum=context.settings.unreserved_minimum,
    )
    found = grants.get(key.name, Grant(None))
    facts = functions.get(key.namespace, key.name)
    if facts is not None:
        memory.grants.decide(key, facts.uid, found.granted)
    return found


def _provisioned_by_function(context: Context, namespace: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for _, alias in context.cluster[WATCHED_ALIASES].within(namespace):
        found[alias.function] += alias.allocated
    for _, version in context.cluster[WATCHED_VERSIONS].within(namespace):
        found[version.function] += version.allocated
    return +found


async def _report(context: Context, key: Key, body: Object, before: FunctionStatus, status: FunctionStatus) -> None:
    await report_status(context, WATCHED_FUNCTIONS, body, status, by=key, exclude={"last_published"})
    await recorder.record_transition(context.client, FUNCTIONS, body, before.conditions, status.conditions)
    if status.state is not before.state:
        log.info("function %s/%s is %s", key.namespace, key.name, status.state)


def _itself(change: Change[FunctionFacts]) -> Iterable[Key]:
    yield Key(KIND, change.namespace, change.name)


def _refused(change: Change[FunctionFacts]) -> Iterable[Key]:
    """What one function gave back, another may have been refused."""
    before, after = change.before, change.after
    if before is None or (after is not None and (before.requested, before.granted) == (after.requested, after.granted)):
        return
    for name, facts in change.cluster[WATCHED_FUNCTIONS].within(change.namespace):
        if facts.requested is not None and facts.requested != facts.granted:
            yield Key(KIND, change.namespace, name)


def _of_runtime(change: Change[RuntimeFacts]) -> Iterable[Key]:
    """Its users. Those that run an image name no runtime: one that was not deployed yet is in no pool either."""
    for (namespace, name), facts in change.cluster[WATCHED_FUNCTIONS]:
        if (facts.runtime or IMAGE_RUNTIME) == change.name or any(pool.runtime == change.name for pool in facts.pools):
            yield Key(KIND, namespace, name)


def _provisioned(change: Change[AliasFacts] | Change[VersionFacts]) -> Iterable[Key]:
    """What is provisioned no more, a reservation may be waiting for."""
    if len({facts.allocated for facts in change.either}) > 1 or change.after is None:
        for name, facts in change.cluster[WATCHED_FUNCTIONS].within(change.namespace):
            if facts.requested != facts.granted:
                yield Key(KIND, change.namespace, name)


def controller(code: CodeState) -> Controller[Context]:
    """Functions."""
    return Controller(
        KIND,
        partial(reconcile, FunctionMemory(code)),
        follows=(
            with_namespace(WATCHED_FUNCTIONS),
            Follow(WATCHED_RUNTIMES, _of_runtime),
            Follow(WATCHED_POOLS, function_pool.users_of_pool),
            Follow(WATCHED_FUNCTIONS, _itself, resync=True, settled=lambda facts: facts.settled),
            Follow(WATCHED_FUNCTIONS, _refused),
            Follow(WATCHED_ALIASES, _provisioned),
            Follow(WATCHED_VERSIONS, _provisioned),
            Follow(WATCHED_NAMESPACES, function_layers.users_of_account),
            Follow(WATCHED_LAYER_VERSIONS, function_layers.users_of_layer_version),
            Follow(WATCHED_LAYERS, function_layers.users_of_layer),
            Follow(WATCHED_SIGNING_CONFIGS, function_signing.under_any),
            Follow(WATCHED_SIGNING_PROFILES, function_signing.under_any),
            Follow(WATCHED_ACCESS_POINTS, function_mounts.users_of_access_point),
            Follow(WATCHED_SUBNETS, function_network.users_of_part),
            Follow(WATCHED_GROUPS, function_network.users_of_part),
            Follow(WATCHED_NODES, function_network.users_of_zone),
            with_targets(WATCHED_FUNCTIONS),
            Follow(WATCHED_ENFORCEMENT, function_network.users_of_enforcement),
        ),
    )
