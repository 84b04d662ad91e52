"""Starts of a function that does not come up, where they wait for their turn."""

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kubelambda.core.environment.start_backoff import FREE_FAILURES
from kubelambda.frontend.cold_start.start import FailureAnswer, InitFailure, StartFailed, Watcher
from kubelambda.frontend.dispatch import environment_starts
from kubelambda.frontend.dispatch.environment_starts import EnvironmentStarts

FAILURE: FailureAnswer = InitFailure({"errorType": "RuntimeError", "errorMessage": "no luck"})


class Starter:
    """One pod at a time, and every INIT fails."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self.tried = 0

    async def start(self, _: object, watcher: Watcher, *, own_pod: bool) -> None:
        """Begins when it is its turn."""
        assert own_pod
        async with self._turn:
            assert watcher.begin()
            self.tried += 1
            await asyncio.sleep(0.001)
        raise StartFailed(FAILURE)


class Events:
    """Every start has a caller who waits for it."""

    def __init__(self) -> None:
        self.answers: list[FailureAnswer | None] = []

    def begun(self, _: int) -> bool:
        """Somebody waits."""
        return True

    def start_failed(self, _: int, answer: FailureAnswer | None) -> None:
        """The caller is answered."""
        self.answers.append(answer)


async def test_starts_that_wait_for_their_turn_behind_failures_do_not_all_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were asked for before the first of them failed, and do not run side by side with it."""
    looks = itertools.count()  # at a clock that moves with each: on a machine that stands still one more may try
    monkeypatch.setattr(environment_starts, "time", SimpleNamespace(monotonic=lambda: next(looks) / 1000))
    starter, events = Starter(), Events()
    starts = EnvironmentStarts(cast("Any", starter), cast("Any", events))
    target = cast("Any", SimpleNamespace(namespace="team", name="f", configuration=SimpleNamespace(revision="r")))
    for number in range(50):
        starts.begin(number, target, own_pod=True)
    await starts._tasks.wait()
    assert events.answers == [FAILURE] * 50
    assert starter.tried == FREE_FAILURES + 1
