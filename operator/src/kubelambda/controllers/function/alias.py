"""Reconciles an Alias: what callers get, and the environments that are kept initialized for them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

from kubelambda.api.conditions import Fact
from kubelambda.api.kinds.alias import AliasSpec, AliasStatus
from kubelambda.controllers.account.namespace_facts import account_of, with_namespace
from kubelambda.controllers.event.event_target_facts import destinations_of, with_targets
from kubelambda.controllers.function import provisioned_environments as provisioned
from kubelambda.controllers.function.alias_facts import WATCHED_ALIASES, AliasFacts
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.function.object_owners import adopted, own_reference
from kubelambda.controllers.function.object_url import own_url
from kubelambda.controllers.function.provisioned_facts import (
    WATCHED_PROVISIONED_DEPLOYMENTS,
    WATCHED_PROVISIONED_PODS,
    Provisioned,
    ProvisionedDeploymentFacts,
)
from kubelambda.controllers.function.version_facts import WATCHED_VERSIONS, VersionFacts
from kubelambda.controllers.function.version_memory import VersionMemory
from kubelambda.controllers.machinery import changes, recorder, unseen
from kubelambda.controllers.machinery.asked import Asker
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.object_status import read_status, report_status
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.core.account import identity
from kubelambda.core.function.alias_routing import LATEST, OWN_CONDITIONS, AliasObservation, VersionState, decide_alias
from kubelambda.core.scaling.alias_scaling import requested_capacity
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ALIASES
from kubelambda.resources.provisioned_deployment import provisioned_selector

KIND = "Alias"
_SCALERS = {"scaling", "last_scaling_activity"}
"""What the scaler writes, with a field manager of its own."""


async def reconcile(memory: VersionMemory, context: Context, key: Key) -> Outcome:
    """One Alias. Deleting its environments is the garbage collector's work."""
    body = await context.client.find(ALIASES, key.name, key.namespace)
    if body is None:
        memory.provisioned.forget(key)
        changes.forget(context, WATCHED_ALIASES, key.namespace, key.name, by=key)
        return None
    facts = await changes.observe(context, WATCHED_ALIASES, body, by=key)
    if facts is None or "deletionTimestamp" in body["metadata"]:
        return None
    function = await unseen.find(context, Asker.of(key, body), WATCHED_FUNCTIONS, key.namespace, facts.function)
    body = await adopted(context, ALIASES, body, name=facts.function, function=function)
    destinations = await destinations_of(context, Asker.of(key, body), body)
    observed = _observe(memory, context, key, body, facts, destinations=destinations)
    now = datetime.now(UTC)
    decision = decide_alias(observed, now)
    if function is not None and observed.elder is None:
        await provisioned.keep(
            memory,
            context,
            key.namespace,
            (facts.function, function),
            facts.name,
            owner=own_reference(ALIASES, body),
            replicas=decision.replicas,
        )
    status = decision.status
    if function is not None and status.provisioned_concurrency is not None:
        routed = {each for each in (status.routed_version, *status.routed_version_weights) if each and each != LATEST}
        selector = provisioned_selector(facts.function, function.uid, facts.name, routed)
        status = status.model_copy(update={"selector": selector})
    if status != observed.before:
        await _report(context, key, body, observed.before, status)
    return decision.look_again_s


def _observe(
    memory: VersionMemory, context: Context, key: Key, body: Object, facts: AliasFacts, *, destinations: Fact | None
) -> AliasObservation:
    spec = AliasSpec.model_validate(body["spec"], extra="ignore")
    before = read_status(AliasStatus, body)
    function = context.cluster[WATCHED_FUNCTIONS].get(key.namespace, facts.function)
    name = (function.lambda_name if function else None) or facts.function
    wanted = spec.provisioned_concurrency
    return AliasObservation(
        generation=body["metadata"]["generation"],
        spec=spec,
        before=before,
        arn=identity.function_arn(context.settings.region, account_of(context, key.namespace), name),
        url=own_url(context.settings, body) if spec.url else None,
        function_exists=function is not None,
        elder=_elder(context, key, facts),
        versions=_versions(context, key.namespace, facts.function, function),
        requested=requested_capacity(wanted, before.scaling) if wanted else 0,
        grant=provisioned.granted(memory, context, key, facts.uid),
        destinations=destinations,
        provisions=provisioned.provisions(memory, context, key.namespace, facts.function, facts.name),
    )


def _elder(context: Context, key: Key, facts: AliasFacts) -> str | None:
    """The object that is this alias already."""
    rivals = (
        (other.rank, name)
        for name, other in context.cluster[WATCHED_ALIASES].within(key.namespace)
        if (other.function, other.name) == (facts.function, facts.name)
    )
    first = min(rivals, default=None)
    return None if first is None or first[1] == key.name else first[1]


def _versions(context: Context, namespace: str, function: str, known: FunctionFacts | None) -> dict[str, VersionState]:
    found = {
        str(facts.number): VersionState(facts.code_sha256, facts.fault)
        for _, facts in context.cluster[WATCHED_VERSIONS].within(namespace)
        if facts.function == function and facts.number is not None and facts.sha256 is not None
    }
    if known is not None and known.deployed:
        found[LATEST] = VersionState()
    return found


async def _report(context: Context, key: Key, body: Object, before: AliasStatus, status: AliasStatus) -> None:
    own = [each for each in status.conditions if each.type in OWN_CONDITIONS]
    said = status.model_copy(update={"conditions": own})
    await report_status(context, WATCHED_ALIASES, body, said, by=key, exclude=_SCALERS)
    await recorder.record_transition(context.client, ALIASES, body, before.conditions, status.conditions)


def _itself(change: Change[AliasFacts]) -> Iterable[Key]:
    yield Key(KIND, change.namespace, change.name)


def _rivals(change: Change[AliasFacts]) -> Iterable[Key]:
    """The other objects of the same alias, and who was refused environments that this one may have given back."""
    names = {(facts.function, facts.name) for facts in change.either}
    for name, other in change.cluster[WATCHED_ALIASES].within(change.namespace):
        if name != change.name and ((other.function, other.name) in names or other.requested != other.allocated):
            yield Key(KIND, change.namespace, name)


def _of_function(change: Change[FunctionFacts]) -> Iterable[Key]:
    for name, facts in change.cluster[WATCHED_ALIASES].within(change.namespace):
        if facts.function == change.name or facts.requested != facts.allocated:
            yield Key(KIND, change.namespace, name)


def _of_version(change: Change[VersionFacts]) -> Iterable[Key]:
    """Those that name it, by its number or by its code."""
    functions = {facts.function for facts in change.either}
    numbers = {str(facts.number) for facts in change.either}
    for name, facts in change.cluster[WATCHED_ALIASES].within(change.namespace):
        concerned = facts.function in functions and (facts.by_code or not numbers.isdisjoint(facts.uses))
        if concerned or facts.requested != facts.allocated:
            yield Key(KIND, change.namespace, name)


def _of_environment(change: Change[Provisioned]) -> Iterable[Key]:
    found = change.either[0]
    for name, facts in change.cluster[WATCHED_ALIASES].within(change.namespace):
        if (facts.function, facts.name) == (found.function, found.qualifier):
            yield Key(KIND, change.namespace, name)


def _unfinished(change: Change[ProvisionedDeploymentFacts]) -> Iterable[Key]:
    """An alias with environments of a version that it has left, or of another number than its status says.

    An operator that dies after it told of a route, and before it removed what that left, leaves a status that shows
    nothing of it.
    """
    found = change.either[0]
    for key in _of_environment(change):
        facts = change.cluster[WATCHED_ALIASES].get(key.namespace, key.name)
        if facts is not None and (facts.provisions != {found.version} or found.replicas != facts.allocated):
            yield key


def controller(memory: VersionMemory) -> Controller[Context]:
    """Aliases."""
    return Controller(
        KIND,
        partial(reconcile, memory),
        follows=(
            with_namespace(WATCHED_ALIASES),
            Follow(WATCHED_FUNCTIONS, _of_function),
            Follow(WATCHED_VERSIONS, _of_version),
            Follow(WATCHED_ALIASES, _itself, resync=True, settled=lambda facts: facts.settled),
            Follow(WATCHED_ALIASES, _rivals),
            Follow(WATCHED_PROVISIONED_DEPLOYMENTS, _of_environment),
            Follow(WATCHED_PROVISIONED_DEPLOYMENTS, _unfinished, resync=True),
            Follow(WATCHED_PROVISIONED_PODS, _of_environment),
            with_targets(WATCHED_ALIASES),
        ),
    )
