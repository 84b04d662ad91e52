"""Looking an image up while its function goes on: whoever asks meanwhile is told once that is over."""

import asyncio
from typing import Any, cast

import pytest
from tests.eventually import eventually
from tests.unit.controllers.clusters import context_of

from kubelambda.api.kinds.function import FunctionSpec
from kubelambda.api.reasons import Reason
from kubelambda.controllers.code import image_source
from kubelambda.controllers.code.code_state import CodeState, ImageLookup
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.core.function.observation import Problem

FUNCTION, LOOKUP = Key("Function", "a", "f"), Key("ImageLookup", "a", "f")
NOBODY = cast("Any", None)


def function(tag: str) -> dict[str, Any]:
    """The spec of a function of an image."""
    return {"packageType": "Image", "code": {"imageUri": f"registry.test/f:{tag}"}}


class OneFunction:
    """In the place of a client: there is one Function, which is read before somebody changes it."""

    async def get(self, *_: object) -> dict[str, Any]:
        """As it was."""
        return {"spec": function("former")}


@pytest.mark.parametrize("asked", [True, False])
async def test_who_asks_for_another_image_during_a_look_up_is_told_of_its_end(
    monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    """Of the former image the registry says what it said before: that alone is no news, and would wake nobody."""
    context = context_of(OneFunction())
    state = CodeState(NOBODY, NOBODY)
    refused = Problem(Reason.IMAGE_DELETED, "gone")
    state.images[FUNCTION] = ImageLookup("registry.test/f:former", refused)
    asks, answers = asyncio.Event(), asyncio.Event()

    async def looked_up(*_: object) -> Problem:
        asks.set()
        await answers.wait()
        return refused

    async def reconcile(key: Key) -> Outcome:
        return await image_source.reconcile(state, context, key)

    monkeypatch.setattr(image_source, "_looked_up", looked_up)
    queue = context.queues.of(LOOKUP.kind)
    queue.add(LOOKUP)
    working = asyncio.create_task(queue.run(reconcile, 1))
    await asks.wait()
    if asked:
        spec = FunctionSpec.model_validate(function("present"))
        assert image_source.resolve(state, context, FUNCTION, spec, None) is None
    answers.set()
    await eventually(lambda: not queue.is_running(LOOKUP))
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert (FUNCTION in context.queues.of(FUNCTION.kind)._due) is asked
