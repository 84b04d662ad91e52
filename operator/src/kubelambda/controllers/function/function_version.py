"""Reconciles a FunctionVersion: number and snapshot once, revision and provisioned environments from then on."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

from pydantic import ValidationError

from kubelambda.api import labels
from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.api.kinds.function import FunctionStatus, Publication
from kubelambda.api.kinds.function_version import FunctionVersionSpec, FunctionVersionStatus
from kubelambda.api.kinds.provisioned_concurrency import ProvisionedConcurrencyStatus
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.reasons import Reason
from kubelambda.controllers.account.namespace_facts import account_of, with_namespace
from kubelambda.controllers.code import image_source
from kubelambda.controllers.event.event_target_facts import destinations_of, with_targets
from kubelambda.controllers.function import provisioned_environments as provisioned
from kubelambda.controllers.function.alias_facts import WATCHED_ALIASES, AliasFacts
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.function.object_owners import adopted, own_reference
from kubelambda.controllers.function.provisioned_facts import (
    WATCHED_PROVISIONED_DEPLOYMENTS,
    WATCHED_PROVISIONED_PODS,
    Provisioned,
    ProvisionedDeploymentFacts,
)
from kubelambda.controllers.function.version_facts import WATCHED_VERSIONS, VersionFacts
from kubelambda.controllers.function.version_memory import VersionMemory
from kubelambda.controllers.machinery import changes, recorder
from kubelambda.controllers.machinery.asked import Asker
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.finalizers import hold, users_of
from kubelambda.controllers.machinery.object_status import read_status, report_status
from kubelambda.controllers.machinery.work_queue import BackOff, Key, Outcome
from kubelambda.controllers.network.enforcement_facts import (
    WATCHED_ENFORCEMENT,
    EnforcementFacts,
    is_new_verdict,
    present_enforcement,
)
from kubelambda.controllers.pool.runtime_facts import WATCHED_RUNTIMES, RuntimeFacts
from kubelambda.core.account import identity
from kubelambda.core.function.observation import Problem
from kubelambda.core.function.provisioning import (
    NO_PROVISION,
    RELEASE_S,
    provisioned_status,
    replicas,
    seconds_since,
)
from kubelambda.core.function.version_publication import NewVersion, SameVersion, fingerprint, publish
from kubelambda.core.function.version_status import ARCHIVE_LOST, VersionObservation, decide_version
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import FUNCTION_VERSIONS, FUNCTIONS
from kubelambda.store.code.code_store import CodeStoreUnavailable

KIND = "FunctionVersion"
LOOK_AGAIN_MAX_S = 30.0
"""The longest pause before an archive that the store has lost is looked for again."""
PUBLISHER = "kubelambda-publisher"
"""Field manager of the last published version: the Function's own reconciler writes all else of its status."""


async def reconcile(memory: VersionMemory, context: Context, key: Key) -> Outcome:
    """One FunctionVersion. A deleted one is held while an alias uses it, and until its number is remembered."""
    body = await context.client.find(FUNCTION_VERSIONS, key.name, key.namespace)
    if body is None:
        memory.code.forget(key)
        memory.provisioned.forget(key)
        changes.forget(context, WATCHED_VERSIONS, key.namespace, key.name, by=key)
        return None
    facts = await changes.observe(context, WATCHED_VERSIONS, body, by=key)
    if facts is None:
        return None
    holders: tuple[str, ...] = ()
    if facts.terminating:
        holders = await _holders(context, key, body, facts)
        if not holders:
            await _let_go(context, key, body, facts)
            return None
    else:
        function = context.cluster[WATCHED_FUNCTIONS].get(key.namespace, facts.function)
        body = await adopted(
            context, FUNCTION_VERSIONS, body, name=facts.function, function=function, finalizer=labels.VERSION_FINALIZER
        )
    spec = FunctionVersionSpec.model_validate(body["spec"], extra="ignore")
    if facts.number is None:
        await _publish(context, memory, key, body, spec)
        return None
    now = datetime.now(UTC)
    before = read_status(FunctionVersionStatus, body)
    observed = _observation(context, key, body, spec, before.deployed)
    look_again_s: float | None = None
    if before.deployed is not None:
        function = context.cluster[WATCHED_FUNCTIONS].get(key.namespace, facts.function)
        if function is not None and function.last_version < facts.number:
            await _remember(context, key.namespace, facts.function, NewVersion(facts.number, before.deployed))
        observed.code_lost = await _code_lost(memory, context, key, before.deployed)
        observed.provisioned, look_again_s = await _provisioned(
            memory, context, key, body, spec=spec, before=before, now=now
        )
    observed.holders = holders
    observed.destinations = await destinations_of(context, Asker.of(key, body), body)
    await _write(context, key, body, decide_version(observed, now))
    if observed.code_lost is ARCHIVE_LOST:  # who brings it back, for a Function or a Layer, tells nobody
        return BackOff(min(LOOK_AGAIN_MAX_S, look_again_s or LOOK_AGAIN_MAX_S))
    return look_again_s


async def _publish(context: Context, memory: VersionMemory, key: Key, body: Object, spec: FunctionVersionSpec) -> None:
    """Gives the object its number. What it wants provisioned comes after that, with the change of its own status."""
    async with memory.publishing_of(key.namespace, spec.function_name):
        function = await context.client.find(FUNCTIONS, spec.function_name, key.namespace)
        publication = _publication(context, key, spec, function)
        new = publication if isinstance(publication, NewVersion) else None
        observed = _observation(context, key, body, spec, new.deployed if new else None)
        observed.publication = publication
        observed.destinations = await destinations_of(context, Asker.of(key, body), body)
        await _write(context, key, body, decide_version(observed, datetime.now(UTC)))
        if new is not None:
            await _remember(context, key.namespace, spec.function_name, new)


def _publication(
    context: Context, key: Key, spec: FunctionVersionSpec, function: Object | None
) -> NewVersion | SameVersion | Problem:
    if function is None or "deletionTimestamp" in function["metadata"]:
        return Problem(Reason.FUNCTION_NOT_FOUND, f"Function {spec.function_name} does not exist")
    numbers = {
        facts.number: name
        for name, facts in context.cluster[WATCHED_VERSIONS].within(key.namespace)
        if facts.function == spec.function_name and facts.number is not None and facts.sha256 is not None
    }
    status = FunctionStatus.model_validate(function.get("status") or {}, extra="ignore")
    return publish(spec, status, generation=function["metadata"]["generation"], numbers=numbers)


async def _remember(context: Context, namespace: str, function: str, published: NewVersion) -> None:
    """On the Function, so that the number is never used again, also when the version is gone."""
    last = Publication(version=published.number, fingerprint=fingerprint(published.deployed))
    manifest = {
        "metadata": {"name": function, "namespace": namespace},
        "status": {"lastPublished": last.model_dump(mode="json", by_alias=True)},
    }
    body = await context.client.apply(FUNCTIONS, manifest, manager=PUBLISHER, subresource="status")
    await changes.observe(context, WATCHED_FUNCTIONS, body)


def _observation(
    context: Context, key: Key, body: Object, spec: FunctionVersionSpec, deployed: DeployedConfiguration | None
) -> VersionObservation:
    name = (deployed.function_name if deployed else None) or spec.function_name
    return VersionObservation(
        generation=body["metadata"]["generation"],
        arn=identity.function_arn(context.settings.region, account_of(context, key.namespace), name),
        before=read_status(FunctionVersionStatus, body),
        runtime=_runtime(context, deployed.runtime) if deployed else None,
        enforcement=present_enforcement(context) if deployed and deployed.network else None,
    )


def _runtime(context: Context, name: str) -> RuntimeSpec | Problem:
    found = context.cluster[WATCHED_RUNTIMES].get("", name)
    if found is None:
        return Problem(Reason.RUNTIME_NOT_FOUND, f"Runtime {name} does not exist")
    try:
        return RuntimeSpec.model_validate(found.spec, extra="ignore")
    except ValidationError as error:
        return Problem(Reason.RUNTIME_NOT_FOUND, f"Runtime {name} cannot be used: {error.errors()[0]['msg']}")


async def _code_lost(
    memory: VersionMemory, context: Context, key: Key, deployed: DeployedConfiguration
) -> Problem | None:
    """Nothing but the store, or a registry, has the code of a version whose Function went on."""
    if deployed.image is not None:
        return image_source.refusal(memory.code, context, key, deployed.image)
    try:
        size = await memory.code.store.size(deployed.code.sha256)
    except CodeStoreUnavailable:
        return None
    return ARCHIVE_LOST if size is None else None


async def _provisioned(
    memory: VersionMemory,
    context: Context,
    key: Key,
    body: Object,
    *,
    spec: FunctionVersionSpec,
    before: FunctionVersionStatus,
    now: datetime,
) -> tuple[ProvisionedConcurrencyStatus | None, float | None]:
    """Makes the provisioned environments what is granted; how far they are, and when time alone changes something."""
    version, name, uid = before.version or "", spec.function_name, body["metadata"]["uid"]
    grant = provisioned.granted(memory, context, key, uid)
    function = context.cluster[WATCHED_FUNCTIONS].get(key.namespace, name)
    there = provisioned.provisions(memory, context, key.namespace, name, version).get(version, NO_PROVISION)
    wanted = spec.provisioned_concurrency
    requested, granted = wanted.provisioned_concurrent_executions if wanted else 0, grant.granted or 0
    reduced_s = seconds_since(before.provisioned_concurrency, requested, now)
    count = replicas(granted, there, reduced_s=reduced_s)
    if function is not None:
        owner = own_reference(FUNCTION_VERSIONS, body)
        await provisioned.keep(
            memory, context, key.namespace, (name, function), version, owner=owner, replicas={version: count}
        )
    look_again_s = None if count == granted else RELEASE_S - reduced_s
    if wanted is None:
        return None, look_again_s
    return provisioned_status(before.provisioned_concurrency, requested, grant, there, now), look_again_s


async def _write(context: Context, key: Key, body: Object, decided: FunctionVersionStatus) -> None:
    before = read_status(FunctionVersionStatus, body)
    if decided == before:
        return
    await report_status(context, WATCHED_VERSIONS, body, decided, by=key)
    if before.version is None and decided.version is not None:
        context.queues.add(key)
    await recorder.record_transition(context.client, FUNCTION_VERSIONS, body, before.conditions, decided.conditions)


async def _holders(context: Context, key: Key, body: Object, facts: VersionFacts) -> tuple[str, ...]:
    """Aliases that keep it; none when its Function goes too: that takes everything with it."""
    function = await context.client.find(FUNCTIONS, facts.function, key.namespace)
    if function is None or "deletionTimestamp" in function["metadata"] or facts.sha256 is None:
        return ()

    def known() -> tuple[str, ...]:
        return tuple(
            alias.name
            for _, alias in context.cluster[WATCHED_ALIASES].within(key.namespace)
            if alias.function == facts.function and str(facts.number) in alias.uses
        )

    return await users_of(context, key, body, labels.VERSION_FINALIZER, known, WATCHED_ALIASES)


async def _let_go(context: Context, key: Key, body: Object, facts: VersionFacts) -> None:
    """Takes our finalizer away, once the Function remembers the number."""
    if labels.VERSION_FINALIZER not in (body["metadata"].get("finalizers") or []):
        return
    deployed = read_status(FunctionVersionStatus, body).deployed
    function = context.cluster[WATCHED_FUNCTIONS].get(key.namespace, facts.function)
    if function is not None and deployed is not None and facts.number is not None:
        last = await context.client.find(FUNCTIONS, facts.function, key.namespace)
        known = ((last or {}).get("status") or {}).get("lastPublished") or {}
        if last is not None and known.get("version", 0) < facts.number:
            await _remember(context, key.namespace, facts.function, NewVersion(facts.number, deployed))
    await hold(context, FUNCTION_VERSIONS, body, labels.VERSION_FINALIZER, held=False)


def _itself(change: Change[VersionFacts]) -> Iterable[Key]:
    yield Key(KIND, change.namespace, change.name)


def _provisioning(change: Change[VersionFacts]) -> Iterable[Key]:
    """What one gave back, another may have been refused."""
    if any(facts.requested or facts.allocated for facts in change.either):
        for name, facts in change.cluster[WATCHED_VERSIONS].within(change.namespace):
            if facts.requested != facts.allocated and name != change.name:
                yield Key(KIND, change.namespace, name)


def _of_function(change: Change[FunctionFacts]) -> Iterable[Key]:
    """Those that wait for it, and those whose share of its concurrency may be another."""
    for name, facts in change.cluster[WATCHED_VERSIONS].within(change.namespace):
        waits = facts.number is None or facts.terminating
        if (facts.function == change.name and waits) or facts.requested != facts.allocated:
            yield Key(KIND, change.namespace, name)


def _of_runtime(change: Change[RuntimeFacts]) -> Iterable[Key]:
    for (namespace, name), facts in change.cluster[WATCHED_VERSIONS]:
        if facts.runtime == change.name:
            yield Key(KIND, namespace, name)


def _of_alias(change: Change[AliasFacts]) -> Iterable[Key]:
    """Those that may go now, or that may have environments of their own now."""
    functions = {facts.function for facts in change.either}
    for name, facts in change.cluster[WATCHED_VERSIONS].within(change.namespace):
        if (facts.terminating and facts.function in functions) or facts.requested != facts.allocated:
            yield Key(KIND, change.namespace, name)


def _of_environment(change: Change[Provisioned]) -> Iterable[Key]:
    found = change.either[0]
    for name, facts in change.cluster[WATCHED_VERSIONS].within(change.namespace):
        if facts.function == found.function and str(facts.number) == found.qualifier and facts.sha256 is not None:
            yield Key(KIND, change.namespace, name)


def _unfinished(change: Change[ProvisionedDeploymentFacts]) -> Iterable[Key]:
    """A version with more or fewer environments than its status says: an operator died before it saw to them."""
    found = change.either[0]
    for name, facts in change.cluster[WATCHED_VERSIONS].within(change.namespace):
        own = facts.function == found.function and str(facts.number) == found.qualifier
        if own and found.replicas != facts.allocated:
            yield Key(KIND, change.namespace, name)


def _enforced(change: Change[EnforcementFacts]) -> Iterable[Key]:
    """Those with a vpcConfig."""
    if is_new_verdict(change):
        for (namespace, name), facts in change.cluster[WATCHED_VERSIONS]:
            if facts.network is not None:
                yield Key(KIND, namespace, name)


def controller(memory: VersionMemory) -> Controller[Context]:
    """Versions."""
    return Controller(
        KIND,
        partial(reconcile, memory),
        follows=(
            with_namespace(WATCHED_VERSIONS),
            Follow(WATCHED_RUNTIMES, _of_runtime),
            Follow(WATCHED_FUNCTIONS, _of_function),
            Follow(WATCHED_VERSIONS, _itself, resync=True, settled=lambda facts: facts.settled),
            Follow(WATCHED_VERSIONS, _provisioning),
            Follow(WATCHED_ALIASES, _of_alias),
            Follow(WATCHED_PROVISIONED_DEPLOYMENTS, _of_environment),
            Follow(WATCHED_PROVISIONED_DEPLOYMENTS, _unfinished, resync=True),
            Follow(WATCHED_PROVISIONED_PODS, _of_environment),
            Follow(WATCHED_ENFORCEMENT, _enforced),
            with_targets(WATCHED_VERSIONS),
        ),
    )
