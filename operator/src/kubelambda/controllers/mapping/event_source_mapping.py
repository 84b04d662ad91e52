"""Reconciles an EventSourceMapping: says whether it can be served. Pollers do what the status then says."""

from collections.abc import Iterable
from datetime import UTC, datetime

from kubelambda.api.kinds.event_source_mapping import EventSourceMappingSpec, EventSourceMappingStatus
from kubelambda.controllers.account.namespace_facts import account_of, with_namespace
from kubelambda.controllers.event.event_target_facts import destinations_of, with_targets
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.machinery import changes, recorder, unseen
from kubelambda.controllers.machinery.asked import Asker
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.object_status import read_status
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.controllers.mapping.mapping_facts import WATCHED_MAPPINGS, MappingFacts, mapping_claim
from kubelambda.core.account.identity import function_arn
from kubelambda.core.function.object_name import object_names
from kubelambda.core.mapping.mapping_status import OWN_CONDITIONS, ObservedMapping, decide_mapping
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import EVENT_SOURCE_MAPPINGS

KIND = "EventSourceMapping"


async def reconcile(context: Context, key: Key) -> Outcome:
    """The mapping `key.name`."""
    body = await context.client.find(EVENT_SOURCE_MAPPINGS, key.name, key.namespace)
    if body is None:
        changes.forget(context, WATCHED_MAPPINGS, key.namespace, key.name, by=key)
        return None
    facts = await changes.observe(context, WATCHED_MAPPINGS, body, by=key)
    if facts is None:
        return None
    before = read_status(EventSourceMappingStatus, body)
    name, _, qualifier = body["spec"]["functionName"].partition(":")
    account = account_of(context, key.namespace)
    asker = Asker.of(key, body)
    function = await unseen.find(context, asker, WATCHED_FUNCTIONS, key.namespace, *object_names(name))
    observed = ObservedMapping(
        generation=facts.generation,
        claim=mapping_claim(body),
        spec=EventSourceMappingSpec.model_validate(body["spec"], extra="ignore"),
        function_arn=function_arn(context.settings.region, account, name, qualifier or None),
        function_exists=function is not None,
        others=[
            other.claim for found, other in context.cluster[WATCHED_MAPPINGS].within(key.namespace) if found != key.name
        ],
        destinations=await destinations_of(context, asker, body),
        deleting=facts.deleting,
    )
    status = decide_mapping(observed, before, datetime.now(UTC))
    if status != _own_part(body):
        manifest = {"metadata": {"name": key.name, "namespace": key.namespace}, "status": status}
        await context.client.apply(EVENT_SOURCE_MAPPINGS, manifest, manager=FIELD_MANAGER, subresource="status")
        after = EventSourceMappingStatus.model_validate(status).conditions
        await recorder.record_transition(context.client, EVENT_SOURCE_MAPPINGS, body, before.conditions, after)
    return None


_OWN = ("observedGeneration", "uuid", "functionArn", "state", "stateTransitionReason", "lastModified")


def _own_part(body: Object) -> Object:
    """The part of the status that we write."""
    status = body.get("status") or {}
    own = {name: status[name] for name in _OWN if name in status}
    return own | {"conditions": [each for each in status.get("conditions") or [] if each["type"] in OWN_CONDITIONS]}


def _itself(change: Change[MappingFacts]) -> Iterable[Key]:
    """And those of the same source and function, which may now be the one, or not any more."""
    yield Key(KIND, change.namespace, change.name)
    claims = {(facts.claim.source, facts.claim.function) for facts in change.either}
    if change.before is not None and change.after is not None and len(claims) == 1:
        return
    for name, facts in change.cluster[WATCHED_MAPPINGS].within(change.namespace):
        if name != change.name and (facts.claim.source, facts.claim.function) in claims:
            yield Key(KIND, change.namespace, name)


def _of_function(change: Change[FunctionFacts]) -> Iterable[Key]:
    """Those of a function that came or went."""
    if change.before is not None and change.after is not None:
        return
    for name, facts in change.cluster[WATCHED_MAPPINGS].within(change.namespace):
        if change.name in object_names(facts.function):
            yield Key(KIND, change.namespace, name)


CONTROLLER = Controller(
    KIND,
    reconcile,
    follows=(
        Follow(WATCHED_MAPPINGS, _itself, resync=True, settled=lambda facts: facts.settled),
        Follow(WATCHED_FUNCTIONS, _of_function),
        with_targets(WATCHED_MAPPINGS),
        with_namespace(WATCHED_MAPPINGS),  # the account id is in the function's ARN
    ),
)
