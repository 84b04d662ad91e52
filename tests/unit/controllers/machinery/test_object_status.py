"""What a write of a status brings to light: changes of others that no later event will tell of."""

from dataclasses import replace
from typing import Any, cast

import pytest

from kubelambda.api.kinds.function import FunctionStatus
from kubelambda.api.settings import Settings
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.object_status import report_status
from kubelambda.controllers.machinery.queues import Queues
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.controllers.registry import controllers

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
    nobody = cast("Any", None)
    found = controllers(CodeState(nobody, nobody))
    context = replace(Context(nobody, Settings(), b"", found, Queues(found)), client=cast("Any", Answering(after)))
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
