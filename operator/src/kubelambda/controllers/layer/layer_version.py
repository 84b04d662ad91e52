"""Reconciles a LayerVersion: its ARN; and one that functions use is held while somebody wants it gone."""

from collections.abc import Iterable
from datetime import UTC, datetime

from kubelambda.api import labels
from kubelambda.api.kinds.layer import LayerVersionStatus
from kubelambda.controllers.account.namespace_facts import (
    WATCHED_NAMESPACES,
    account_in,
    account_of,
    namespace_of_account,
    with_namespace,
)
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.function.version_facts import WATCHED_VERSIONS, VersionFacts
from kubelambda.controllers.layer.layer_facts import WATCHED_LAYER_VERSIONS
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.cluster import Cluster
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.finalizers import hold, users_of
from kubelambda.controllers.machinery.object_status import apply_status, read_status
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.core.code.layer_publication import decide_layer_version
from kubelambda.core.code.layer_reference import layer_version_arn, parse_layer
from kubelambda.core.code.layer_versions import LayerVersionFacts
from kubelambda.kube.resources import LAYER_VERSIONS

KIND = "LayerVersion"


async def reconcile(context: Context, key: Key) -> Outcome:
    """One LayerVersion."""
    body = await context.client.find(LAYER_VERSIONS, key.name, key.namespace)
    if body is None:
        changes.forget(context, WATCHED_LAYER_VERSIONS, key.namespace, key.name, by=key)
        return None
    facts = await changes.observe(context, WATCHED_LAYER_VERSIONS, body, by=key)
    if facts is None:
        return None
    account = account_of(context, key.namespace)
    arn = layer_version_arn(context.settings.region, account, facts.layer, facts.number)
    users: tuple[str, ...] = ()
    if facts.terminating:
        users = await users_of(
            context,
            key,
            body,
            labels.LAYER_VERSION_FINALIZER,
            lambda: (*sorted(_users(context.cluster, key, facts)), *_accounts(context.cluster, key, arn)),
            WATCHED_FUNCTIONS,
        )
        if not users:
            await hold(context, LAYER_VERSIONS, body, labels.LAYER_VERSION_FINALIZER, held=False)
            return None
    before = read_status(LayerVersionStatus, body)
    status = decide_layer_version(before, arn, users, datetime.now(UTC))
    if status != before:
        await apply_status(context, LAYER_VERSIONS, body, status)
    return None


def _users(cluster: Cluster, key: Key, version: LayerVersionFacts) -> Iterable[str]:
    """Functions that name it or run it, and versions of functions that run it."""
    for name, function in cluster[WATCHED_FUNCTIONS].within(key.namespace):
        if key.name in function.layer_versions or version.sha256 in function.layers:
            yield f"Function {name}"
    for name, published in cluster[WATCHED_VERSIONS].within(key.namespace):
        if version.sha256 in published.layers:
            yield f"FunctionVersion {name}"


def _accounts(cluster: Cluster, key: Key, arn: str) -> list[str]:
    """Other accounts that run it: nothing more of them is told. None of them keeps a namespace that is going."""
    namespace = cluster[WATCHED_NAMESPACES].get("", key.namespace)
    if namespace is None or namespace.terminating:
        return []
    users = {namespace for (namespace, _), facts in cluster[WATCHED_FUNCTIONS] if arn in facts.layer_arns}
    users |= {namespace for (namespace, _), facts in cluster[WATCHED_VERSIONS] if arn in facts.layer_arns}
    return sorted(f"account {account_in(cluster, user)}" for user in users - {key.namespace})


def _itself(change: Change[LayerVersionFacts]) -> Iterable[Key]:
    yield Key(KIND, change.namespace, change.name)


def _held(change: Change[FunctionFacts] | Change[VersionFacts]) -> Iterable[Key]:
    """Those that somebody wants gone, when a function used layers before, or named some."""
    named = change.before.layer_versions if isinstance(change.before, FunctionFacts) else ()
    if change.before is None or not (change.before.layers or named):
        return
    versions = change.cluster[WATCHED_LAYER_VERSIONS]
    for name, facts in versions.within(change.namespace):
        if facts.terminating:
            yield Key(KIND, change.namespace, name)
    if change.after is not None and change.after.layer_arns == change.before.layer_arns:
        return
    for reference in filter(None, map(parse_layer, change.before.layer_arns)):
        owner = namespace_of_account(change.cluster, reference.account or "")
        if owner is not None and owner != change.namespace:
            yield Key(KIND, owner, reference.object_name)


CONTROLLER = Controller(
    KIND,
    reconcile,
    follows=(
        Follow(WATCHED_LAYER_VERSIONS, _itself, resync=True),
        with_namespace(WATCHED_LAYER_VERSIONS),  # what is held for other accounts goes with it, too
        Follow(WATCHED_FUNCTIONS, _held),
        Follow(WATCHED_VERSIONS, _held),
    ),
)
