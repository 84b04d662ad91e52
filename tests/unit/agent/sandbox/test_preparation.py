"""When a function that was handed over begins."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kubelambda.agent.sandbox.initialization import Initialization
from kubelambda.agent.sandbox.preparation import WORD_S, Preparation
from kubelambda.api.settings import NetworkSettings
from kubelambda.frontend.cold_start import claiming, resizer


class Clock:
    """An event loop of which only timers are used; they pass when a test says so."""

    def __init__(self) -> None:
        self.callbacks: list[Any] = []

    def call_later(self, _: float, callback: Any) -> "Clock":
        """Remembers it."""
        self.callbacks.append(callback)
        return self

    def cancel(self) -> None:
        """Forgets it."""
        self.callbacks.clear()

    def passes(self) -> None:
        """Nobody has said anything for long."""
        callbacks, self.callbacks = self.callbacks, []
        for each in callbacks:
            each()


@given(st.lists(st.sampled_from(["brought", "failed", "allow", "time"]), max_size=8))
def test_code_runs_only_once_it_is_there_and_allowed(steps: list[str]) -> None:
    """Whatever happens in whatever order: once at most, never before it may, and never after it was given up."""
    clock: Any = Clock()
    began: list[int] = []
    failed: list[int] = []
    outcomes: list[object] = []
    now = [0]
    initialization = Initialization(clock, Any, lambda: None)  # type: ignore[arg-type]
    found = Preparation(
        clock, initialization, begin=lambda _: began.append(now[0]), failed=lambda: failed.append(now[0])
    )
    brought = False
    for now[0], name in enumerate(steps):
        if name == "allow" and found.waits:
            found.allow(outcomes.append)
        elif name in ("brought", "failed") and not brought:
            brought = True
            found.brought(None if name == "brought" else ValueError())
        elif name == "time":
            clock.passes()
    assert len(began) + len(failed) <= 1
    first = {
        name: steps.index(name) if name in steps else len(steps) for name in ("brought", "failed", "allow", "time")
    }
    arrived = min(first["brought"], first["failed"])
    allowed = first["allow"] < first["time"]
    if began:
        assert allowed
        assert first["brought"] < first["failed"]
        assert began[0] == max(first["allow"], first["brought"])
    elif allowed and arrived < len(steps):
        assert failed
    if first["time"] < first["allow"]:
        assert (began, len(failed), initialization.pending) == ([], 1, False)
        assert not found.waits


def test_no_frontend_goes_on_with_a_claim_for_longer_than_a_function_waits() -> None:
    """Else no function of a closed pool would ever start: its claim, the longest opening, and its resize."""
    longest = NetworkSettings(opening_seconds=90).opening_seconds
    assert claiming._CLAIM_S + longest + resizer._RESIZE_S < WORD_S
    with pytest.raises(ValidationError, match="less than or equal to 90"):
        NetworkSettings(opening_seconds=longest + 1)
