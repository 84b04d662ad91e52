"""Reconciles a CodeSigningConfig: its ARN, whose keys are missing, and that it stays while functions name it."""

from collections.abc import Iterable
from datetime import UTC, datetime

from kubelambda.api import labels
from kubelambda.api.kinds.code_signing_config import CodeSigningConfigStatus
from kubelambda.controllers.account.namespace_facts import account_of, with_namespace
from kubelambda.controllers.code.signing_facts import (
    WATCHED_SIGNING_CONFIGS,
    WATCHED_SIGNING_PROFILES,
    known_profiles,
)
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.machinery import changes, recorder, unseen
from kubelambda.controllers.machinery.asked import Asker
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.finalizers import hold, users_of
from kubelambda.controllers.machinery.object_status import apply_status, read_status
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.core.code.code_trust import ProfileVersion
from kubelambda.core.code.signing_objects import SigningConfigFacts, chosen_config, signing_config_facts
from kubelambda.core.code.signing_status import config_status
from kubelambda.kube.resources import CODE_SIGNING_CONFIGS

KIND = "CodeSigningConfig"


async def reconcile(context: Context, key: Key) -> Outcome:
    """One CodeSigningConfig."""
    body = await context.client.find(CODE_SIGNING_CONFIGS, key.name, key.namespace)
    if body is None:
        changes.forget(context, WATCHED_SIGNING_CONFIGS, key.namespace, key.name, by=key)
        return None
    await changes.observe(context, WATCHED_SIGNING_CONFIGS, body, by=key)
    facts, terminating = signing_config_facts(body), "deletionTimestamp" in body["metadata"]
    region, account = context.settings.region, account_of(context, key.namespace)
    users = await users_of(
        context,
        key,
        body,
        labels.CODE_SIGNING_FINALIZER,
        lambda: _users(context, key, facts, account),
        WATCHED_FUNCTIONS,
    )
    body = await hold(context, CODE_SIGNING_CONFIGS, body, labels.CODE_SIGNING_FINALIZER, held=bool(users))
    if terminating and not users:
        return None
    if not set(facts.allowed) <= {each.arn for each in known_profiles(context.cluster, key.namespace)}:
        await unseen.read_all(context, Asker.of(key, body), WATCHED_SIGNING_PROFILES, key.namespace, "publishers")
    before = read_status(CodeSigningConfigStatus, body)
    status = config_status(
        before,
        body["metadata"]["generation"],
        facts.id,
        facts.policy(region, account, known_profiles(context.cluster, key.namespace)),
        holders=users if terminating else (),
        now=datetime.now(UTC),
    )
    if status != before:
        await apply_status(context, CODE_SIGNING_CONFIGS, body, status)
        await recorder.record_transition(
            context.client, CODE_SIGNING_CONFIGS, body, before.conditions, status.conditions
        )
    return None


def _users(context: Context, key: Key, facts: SigningConfigFacts, account: str) -> list[str]:
    """Functions that name it."""
    itself = [(key.name, facts)]
    return sorted(
        f"Function {name}"
        for name, function in context.cluster[WATCHED_FUNCTIONS].within(key.namespace)
        if function.signing_config is not None
        and chosen_config(function.signing_config, itself, context.settings.region, account) is not None
    )


def _itself(change: Change[SigningConfigFacts]) -> Iterable[Key]:
    yield Key(KIND, change.namespace, change.name)


def _used(change: Change[FunctionFacts]) -> Iterable[Key]:
    """All of a namespace, when a function begins to name one or names it no more: there are few."""
    if len({facts.signing_config if facts else None for facts in (change.before, change.after)}) > 1:
        for name, _ in change.cluster[WATCHED_SIGNING_CONFIGS].within(change.namespace):
            yield Key(KIND, change.namespace, name)


def _of_profile(change: Change[tuple[ProfileVersion, ...]]) -> Iterable[Key]:
    for name, _ in change.cluster[WATCHED_SIGNING_CONFIGS].within(change.namespace):
        yield Key(KIND, change.namespace, name)


CONTROLLER = Controller(
    KIND,
    reconcile,
    follows=(
        Follow(WATCHED_SIGNING_CONFIGS, _itself, resync=True),
        Follow(WATCHED_SIGNING_PROFILES, _of_profile),
        Follow(WATCHED_FUNCTIONS, _used),
        with_namespace(WATCHED_SIGNING_CONFIGS),  # the account id is in its ARN, by which functions name it
    ),
)
