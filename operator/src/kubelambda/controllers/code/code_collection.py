"""Keeps the code store equal to what is deployed: collects what nobody runs, publishes again what was lost."""

import math
import time
from collections.abc import Callable, Iterable
from functools import partial

from kubelambda.api.kinds.function_image import IMAGE_RUNTIME
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.function.version_facts import WATCHED_VERSIONS, VersionFacts
from kubelambda.controllers.layer.layer_facts import WATCHED_LAYER_VERSIONS
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.core.code.layer_reference import layer_object_name
from kubelambda.core.code.layer_versions import LayerVersionFacts

KEY = Key("CodeStore", "", "")
INTERVAL_S = 60.0


def controller(code: CodeState) -> Controller[Context]:
    """There is one store, looked at now and then."""
    follows = (
        Follow(WATCHED_LAYER_VERSIONS, partial(_named, code, _of_layer_version)),
        Follow(WATCHED_FUNCTIONS, partial(_named, code, _of_function)),
        Follow(WATCHED_VERSIONS, partial(_named, code, _of_version)),
    )
    return Controller(KEY.kind, partial(reconcile, code), follows=follows, first_keys=(KEY,))


async def reconcile(code: CodeState, context: Context, key: Key) -> Outcome:  # noqa: ARG001 - there is one store
    """The whole store.

    An archive that no function runs any more stays for a while: environments of the previous deployment may still
    fetch it, and a rollback finds it there.
    """
    retention_s = context.settings.code_retention_seconds
    stored = set(await code.store.digests())
    wanted = wanted_archives(context)
    for digest in wanted.keys() - stored:
        context.queues.add(wanted[digest])
    now = time.monotonic()
    for digest in [digest for digest in code.unreferenced if digest in wanted or digest not in stored]:
        del code.unreferenced[digest]
    expired = [
        digest for digest in stored - wanted.keys() if now - code.unreferenced.setdefault(digest, now) > retention_s
    ]
    for digest in expired:
        # While others were collected somebody may have looked for it, or named it: see `_named`.
        if code.unreferenced.pop(digest, None) is not None:
            await _collect(code, digest, retention_s)
    return min(INTERVAL_S, retention_s / 2 + 1)


async def _collect(code: CodeState, digest: str, retention_s: float) -> None:
    code.fetched.pop(digest, None)
    code.unzipped_sizes.pop(digest, None)
    code.contents.pop(digest, None)
    # Who takes code in may have found it there a moment ago, and names it in the next.
    await code.store.delete(digest, unused_s=math.ceil(retention_s))


def _named[F](code: CodeState, archives: Callable[[F], Iterable[str]], change: Change[F]) -> Iterable[Key]:
    """What is named from now on is not collected, and nothing is to be looked at for that."""
    if change.after is not None:
        for digest in archives(change.after):
            code.unreferenced.pop(digest, None)
    return ()


def wanted_archives(context: Context) -> dict[str, Key]:
    """Every archive that must stay, with the key of who can publish it again, as far as anybody can."""
    layers = {
        sha256: Key("Layer", namespace, layer_object_name(facts.layer))
        for (namespace, _), facts in context.cluster[WATCHED_LAYER_VERSIONS]
        for sha256 in _of_layer_version(facts)
    }
    found = {
        sha256: Key("FunctionVersion", namespace, name)
        for (namespace, name), facts in context.cluster[WATCHED_VERSIONS]
        for sha256 in _of_version(facts)
    }
    functions = {
        sha256: Key("Function", namespace, name)
        for (namespace, name), facts in context.cluster[WATCHED_FUNCTIONS]
        for sha256 in _of_function(facts)
    }
    return found | functions | layers


def _of_layer_version(facts: LayerVersionFacts) -> Iterable[str]:
    return (facts.sha256,)


def _of_version(facts: VersionFacts) -> Iterable[str]:
    """An image is in no store."""
    return filter(None, (facts.sha256, *facts.layers)) if facts.runtime != IMAGE_RUNTIME else ()


def _of_function(facts: FunctionFacts) -> Iterable[str]:
    return filter(None, (facts.sha256, facts.stored, *facts.layers))
