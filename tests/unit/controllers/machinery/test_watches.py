"""What the handlers of watches make of events, and what is compared once a watch has begun."""

from collections.abc import AsyncIterator
from typing import Any, cast

import kopf
import pytest
from tests.unit.controllers.clusters import context_of

from kubelambda.api import labels
from kubelambda.controllers.account.policy_facts import WATCHED_POLICIES
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.machinery import changes, resync, watches
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.kube.errors import Unreachable
from kubelambda.kube.resources import Resource

NOBODY = cast("Any", None)


class Listing:
    """In the place of a client: there is nothing in the cluster, and at first no answer either."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures

    async def each(self, *_: object, **__: object) -> AsyncIterator[dict[str, Any]]:
        """No object."""
        if self.failures:
            self.failures -= 1
            raise Unreachable("no answer")
        return
        yield {}

    async def find(self, *_: object) -> None:
        """No object."""


@pytest.fixture
def context() -> Context:
    """A context of all controllers, of an empty cluster."""
    return context_of(Listing())


async def told(context: Context, watch: Watch[Any], type_: str | None, body: dict[str, Any]) -> None:
    """An event comes from a stream."""
    resource: Resource = watch.resource
    handlers = watches.registry(context, None, lambda: None)._watching.get_all_handlers()
    handler = next(each for each in handlers if each.id == f"{resource.plural}/{watch.label}")
    assert handler.labels is None
    metadata = body["metadata"]
    call = cast("Any", handler.fn)
    await call(namespace=metadata["namespace"], name=metadata["name"], body=body, type=type_)


def policy(version: int, **found: str) -> dict[str, Any]:
    """The policy of the environments of a namespace."""
    metadata = {"name": "p", "namespace": "a", "uid": "u", "resourceVersion": str(version), "generation": 1}
    return {"metadata": metadata | {"labels": found}}


def due(context: Context) -> set[Key]:
    """Keys that wait; forgets them."""
    found = {key for queue in context.queues.by_name.values() for key in queue._due}
    for queue in context.queues.by_name.values():
        queue._due.clear()
    return found


async def test_an_object_that_loses_its_label_is_gone_until_it_has_it_again(context: Context) -> None:
    """A stream that several watches share brings it as a change, and not as an end."""
    named = {labels.NETWORK_POLICY: labels.NETWORK_POLICY_BASE}
    known = context.cluster[WATCHED_POLICIES]
    await told(context, WATCHED_POLICIES, "ADDED", policy(1, **named))
    due(context)
    await told(context, WATCHED_POLICIES, "MODIFIED", policy(2))
    assert not known.names()
    assert Key("Namespace", "a", "a") in due(context)
    await told(context, WATCHED_POLICIES, "MODIFIED", policy(3, **named))
    assert known.names() == {("a", "p")}


FUNCTION: dict[str, Any] = {
    "metadata": {
        "name": "one",
        "namespace": "a",
        "uid": "u",
        "resourceVersion": "1",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    },
    "spec": {"runtime": "python3.13"},
}


async def test_what_went_before_a_watch_began_is_found_soon(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lists only what is there. What such a Function used would be held for it until the next resync."""
    monkeypatch.setattr(resync, "LISTED_S", 0)
    context.client = cast("Any", Listing(failures=1))
    await changes.observe(context, WATCHED_FUNCTIONS, FUNCTION)
    another = FUNCTION | {"metadata": FUNCTION["metadata"] | {"name": "another", "uid": "v"}}
    await told(context, WATCHED_FUNCTIONS, None, another)
    due(context)
    await resync.catch_up(context)
    assert not due(context)
    await resync.catch_up(context)
    assert Key("Function", "a", "one") in due(context)
    assert not context.cluster[WATCHED_FUNCTIONS].names()


async def test_the_only_one_of_its_kind_that_went_before_a_watch_began_is_found_soon(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its watch lists nothing then, and tells nobody."""
    monkeypatch.setattr(resync, "LISTED_S", 0)
    await changes.observe(context, WATCHED_FUNCTIONS, FUNCTION)
    due(context)
    handlers = watches.registry(context, None, lambda: None)._activities.get_all_handlers()
    begin = cast("Any", next(each.fn for each in handlers if "configure" in each.id))
    await begin(settings=kopf.OperatorSettings())
    await resync.catch_up(context)
    assert Key("Function", "a", "one") in due(context)
    assert not context.cluster[WATCHED_FUNCTIONS].names()


async def test_a_watch_that_still_lists_is_waited_for(context: Context) -> None:
    """And one that only goes on has missed nothing: all that is known is not read once more."""
    await told(context, WATCHED_FUNCTIONS, None, FUNCTION)
    await resync.catch_up(context)
    assert context.cluster[WATCHED_FUNCTIONS].names()
    context.watching.listed.clear()
    await told(context, WATCHED_FUNCTIONS, "MODIFIED", FUNCTION)
    assert not context.watching.listed
