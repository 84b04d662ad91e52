"""When a function that was handed over begins."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kubelambda.agent.sandbox.initialization import Initialization
from kubelambda.agent.sandbox.preparation import Preparation


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
