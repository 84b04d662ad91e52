"""What a write of a status brings to light: changes of others that no later event will tell of."""

from typing import Any

import pytest
from tests.unit.controllers.clusters import context_of

from kubelambda.api.kinds.alias import AliasStatus
from kubelambda.api.kinds.function import FunctionStatus
from kubelambda.controllers.function.alias_facts import WATCHED_ALIASES
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.object_status import report_status
from kubelambda.controllers.machinery.work_queue import Key

KEY = Key("Function", "a", "one")


def body(version: int, generation: int = 1, **metadata: Any) -> dict[str, Any]:
    """A Function object."""
    about = {"name": "one", "namespace": "a", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    spec = {"runtime": "python3.13", "timeout": generation}
    return {
        "metadata": {**about, "resourceVersion": str(version), "generation": generation, **metadata},
        "spec": spec,
    }


class Answering:
    """In the place of a client: every write is answered with the object as it is by then."""

    def __init__(self, after: dict[str, Any]) -> None:
        self.after = after

    async def apply(self, *_: object, **__: object) -> dict[str, Any]:
        """The answer."""
        return self.after


async def written(read: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether the key that wrote a status is due again, once the event of what it had read late has come too."""
    context = context_of(Answering(after))
    await changes.observe(context, WATCHED_FUNCTIONS, read, by=KEY)
    await report_status(context, WATCHED_FUNCTIONS, read, FunctionStatus(), by=KEY)
    await changes.observe(context, WATCHED_FUNCTIONS, body(2, after["metadata"]["generation"]))
    return KEY in context.queues.of(KEY.kind)._due


@pytest.mark.parametrize(
    "after", [body(3, 2), body(3, annotations={"a": "b"}), body(3, deletionTimestamp="2026-01-01T00:00:01Z")]
)
async def test_what_changed_while_a_status_was_written_is_looked_at(after: dict[str, Any]) -> None:
    """Its event is older than the answer to the write, and passes for known."""
    assert await written(body(1), after)


async def test_a_status_alone_is_no_reason_to_look_again() -> None:
    """Else every reconciliation would bring another."""
    assert not await written(body(1), body(3, managedFields=[{"manager": "kubelambda"}]))


def alias(version: int, capacity: int) -> dict[str, Any]:
    """An Alias that its scaler wants to have so many environments."""
    about = {"name": "one", "namespace": "a", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1}
    scaled = {"targetTracking": {"minCapacity": 1, "maxCapacity": 9, "targetValue": 0.7}}
    spec = {"functionName": "f", "name": "live", "functionVersion": "1", "provisionedConcurrency": scaled}
    status = {"scaling": {"capacity": capacity}}
    return {"metadata": about | {"resourceVersion": str(version)}, "spec": spec, "status": status}


@pytest.mark.parametrize(("capacity", "due"), [(5, True), (1, False)])
async def test_what_others_write_into_the_status_meanwhile_is_looked_at(capacity: int, due: bool) -> None:
    """The scaler's word came between: the answer brought it, and its event is known by then."""
    context = context_of(Answering(alias(3, capacity)))
    key, read = Key("Alias", "a", "one"), alias(1, 1)
    await changes.observe(context, WATCHED_ALIASES, read, by=key)
    excluded = {"scaling", "last_scaling_activity"}
    await report_status(context, WATCHED_ALIASES, read, AliasStatus(), by=key, exclude=excluded)
    await changes.observe(context, WATCHED_ALIASES, alias(2, capacity))
    assert (key in context.queues.of(key.kind)._due) is due
