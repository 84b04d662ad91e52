"""What is remembered of objects beyond their facts goes with them, whoever hears of that first."""

import gc
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
from tests.deployed import DEPLOYED
from tests.unit.controllers.clusters import NOBODY, Named, Written, body_of, context_of, spec_of

from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.function import alias, function, function_version
from kubelambda.controllers.function.alias_facts import WATCHED_ALIASES
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.function.version_facts import WATCHED_VERSIONS
from kubelambda.controllers.function.version_memory import VersionMemory
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.kube.resources import ALIASES, FUNCTION_VERSIONS, FUNCTIONS, NAMESPACES, RUNTIMES


def cluster_wide(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """An object of no namespace."""
    return {"metadata": {"name": name, "uid": f"uid-of-{name}", "resourceVersion": "1"}, "spec": spec}


NAMESPACE: Named = NAMESPACES, cluster_wide("a", {})
RUNTIME: Named = RUNTIMES, cluster_wide("python3.13", {"image": "i", "inlineFileName": "index.py"})


class Store:
    """In the place of a code store."""

    async def publish(self, *_: object) -> None:
        """It has the archive."""

    async def size(self, _: str) -> int:
        """It has whatever is asked for."""
        return 1


CODE = CodeState(cast("Any", Store()), NOBODY)


def a_function() -> tuple[Callable[..., Any], Callable[[], int], Named, Watch[Any]]:
    """Its reservation is decided."""
    memory = function.FunctionMemory(CODE)
    spec = spec_of(reservedConcurrentExecutions=1).model_dump(mode="json", by_alias=True, exclude_none=True)
    return (
        partial(function.reconcile, memory),
        lambda: len(memory.grants),
        (FUNCTIONS, body_of("f", spec)),
        WATCHED_FUNCTIONS,
    )


def an_alias() -> tuple[Callable[..., Any], Callable[[], int], Named, Watch[Any]]:
    """Its environments are decided."""
    memory = VersionMemory(CODE)
    spec = {"functionName": "f", "name": "live", "functionVersion": "$LATEST"}
    return (
        partial(alias.reconcile, memory),
        lambda: len(memory.provisioned),
        (ALIASES, body_of("f", spec)),
        WATCHED_ALIASES,
    )


def a_version() -> tuple[Callable[..., Any], Callable[[], int], Named, Watch[Any]]:
    """Its environments are decided."""
    memory = VersionMemory(CODE)
    body = body_of("f", {"functionName": "f"}, status={"version": "1", "deployed": {**DEPLOYED, "version": "1"}})
    reconcile = partial(function_version.reconcile, memory)
    return reconcile, lambda: len(memory.provisioned), (FUNCTION_VERSIONS, body), WATCHED_VERSIONS


@pytest.mark.parametrize("event_first", [True, False])
@pytest.mark.parametrize("what", [a_function, an_alias, a_version])
async def test_what_was_decided_of_an_object_is_forgotten_with_it(what: Callable[[], Any], event_first: bool) -> None:
    """An event tells that it is gone, as a rule, before its key is looked at once more; then nobody knows its uid."""
    reconcile, remembered, (resource, body), watch = what()
    key = Key(resource.kind, "a", "f")
    there = Written(NAMESPACE, RUNTIME, (resource, body))
    context = context_of(there, CODE)
    await reconcile(context, key)
    assert remembered() == 1
    there.remove(resource, body)
    if event_first:
        changes.forget(context, watch, "a", "f", uid=body["metadata"]["uid"])
    await reconcile(context, key)
    assert remembered() == 0


async def test_what_was_decided_of_an_object_is_forgotten_when_another_has_its_name() -> None:
    """It was deleted and made anew before anybody looked."""
    reconcile, remembered, (resource, body), _ = an_alias()
    context = context_of(Written(NAMESPACE, (resource, body)), CODE)
    await reconcile(context, Key(resource.kind, "a", "f"))
    body["metadata"] |= {"uid": "another", "resourceVersion": "2"}
    await reconcile(context, Key(resource.kind, "a", "f"))
    assert remembered() == 1


async def test_no_lock_stays_of_functions_that_published() -> None:
    """Only who publishes needs one, and everybody who does at once needs the same."""
    memory = VersionMemory(CODE)
    first = memory.publishing_of("a", "f")
    assert memory.publishing_of("a", "f") is first
    assert memory.publishing_of("a", "g") is not first
    del first
    gc.collect()
    assert not memory.publishing
