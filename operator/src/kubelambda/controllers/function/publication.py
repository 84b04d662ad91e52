"""Publishes a version for each change of a Function that wants that, and lets go of those that it need not keep."""

import contextlib
from collections.abc import Iterable
from functools import partial

from kubelambda.controllers.function.alias_facts import WATCHED_ALIASES, AliasFacts
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.function.version_facts import WATCHED_VERSIONS, VersionFacts
from kubelambda.controllers.function.version_memory import VersionMemory
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.core.function.version_publication import retired
from kubelambda.kube.errors import Conflict, NotFound
from kubelambda.kube.resources import FUNCTION_VERSIONS
from kubelambda.resources.environment_pod import owner_reference

KIND = "Publication"


async def reconcile(memory: VersionMemory, context: Context, key: Key) -> Outcome:
    """The versions of the Function `key.name`: made here, numbered and filled by their own reconciler."""
    async with memory.publishing_of(key.namespace, key.name):
        return await _reconcile(context, key)


async def _reconcile(context: Context, key: Key) -> Outcome:
    function = context.cluster[WATCHED_FUNCTIONS].get(key.namespace, key.name)
    if function is None:
        return None
    versions = {
        name: facts
        for name, facts in context.cluster[WATCHED_VERSIONS].within(key.namespace)
        if facts.function == key.name and not facts.terminating
    }
    waiting = [n for n, facts in versions.items() if facts.number is None or facts.number > function.last_version]
    for name in waiting:
        context.queues.add(Key("FunctionVersion", key.namespace, name))
    if function.publish and function.publishable and function.fingerprint != function.last_fingerprint and not waiting:
        await _create(context, key, function, versions)
    await _retire(context, key, function, versions)
    return None


async def _create(context: Context, key: Key, function: FunctionFacts, versions: dict[str, VersionFacts]) -> None:
    name = f"{key.name}-{function.last_version + 1}"
    if name in versions:  # somebody called the object of another number so
        name = f"{name}-{function.fingerprint}"
    metadata = {"name": name, "namespace": key.namespace, "ownerReferences": [owner_reference(key.name, function.uid)]}
    manifest = {"metadata": metadata, "spec": {"functionName": key.name, "description": function.description}}
    with contextlib.suppress(Conflict):
        body = await context.client.create(
            FUNCTION_VERSIONS,
            {"apiVersion": FUNCTION_VERSIONS.api_version, "kind": FUNCTION_VERSIONS.kind, **manifest},
            key.namespace,
        )
        await changes.observe(context, WATCHED_VERSIONS, body)


async def _retire(context: Context, key: Key, function: FunctionFacts, versions: dict[str, VersionFacts]) -> None:
    numbers = {facts.number: name for name, facts in versions.items() if facts.number and facts.sha256}
    used = {
        int(version)
        for _, alias in context.cluster[WATCHED_ALIASES].within(key.namespace)
        if alias.function == key.name
        for version in alias.uses
        if version.isdecimal()
    }
    used |= {facts.number for facts in versions.values() if facts.number and facts.requested}
    for name in retired(numbers, keep=function.retention, used=used):
        with contextlib.suppress(NotFound):
            await context.client.delete(FUNCTION_VERSIONS, name, key.namespace)


def _of_function(change: Change[FunctionFacts]) -> Iterable[Key]:
    yield Key(KIND, change.namespace, change.name)


def _of_another(change: Change[VersionFacts] | Change[AliasFacts]) -> Iterable[Key]:
    return (Key(KIND, change.namespace, name) for name in {facts.function for facts in change.either})


def controller(memory: VersionMemory) -> Controller[Context]:
    """What publishes by itself."""
    return Controller(
        KIND,
        partial(reconcile, memory),
        follows=(
            Follow(WATCHED_FUNCTIONS, _of_function, resync=True),
            Follow(WATCHED_VERSIONS, _of_another),
            Follow(WATCHED_ALIASES, _of_another),
        ),
    )
