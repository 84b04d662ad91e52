"""What a function may not take of its node, where nobody but us keeps it: looked at again and again."""

from collections.abc import Callable, Sequence
from typing import Protocol

from kubelambda.wire.event_loop import EventLoop, Timer

_LOOK_S = 0.1
_EARLY_S = 0.02
"""So much sooner where we are awake anyway: while invocations follow each other, nothing wakes us to look."""
_IDLE_LOOK_S = 1.0
_IDLE_LOOK_MOST_S = 60.0
"""What sleeps in an environment that nobody calls is not worth waking a node for every second."""


class FunctionBound(Protocol):
    """One of them."""

    always: bool
    """Whether it is looked at while nothing is to run, too: processes that a function left behind may run on."""

    def exceeded(self) -> str:
        """What a caller is told of a function that took more; empty while it does not."""


class FunctionBounds:
    """All of them. One timer sees to all invocations that follow each other: most are over before it looks."""

    def __init__(self, loop: EventLoop, bounds: Sequence[FunctionBound]) -> None:
        self._loop = loop
        self._bounds = bounds
        self._at_rest = tuple(each for each in bounds if each.always)
        self._timer: Timer | None = None
        self._exceeded: Callable[[str], None] | None = None
        self._running = False
        self._pause_s = _LOOK_S
        """Until the next look."""

    def watch(self, exceeded: Callable[[str], None]) -> None:
        """Something of the function runs; `exceeded` is called, once, with what is too much."""
        self._exceeded, self._running = exceeded, True
        if self._pause_s > _LOOK_S and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._look_after(_LOOK_S)

    def rest(self) -> None:
        """Nothing is to run."""
        self._running = False

    def _look_after(self, seconds: float) -> None:
        self._pause_s = seconds
        self._timer = self._loop.call_later(seconds, self._tick, _EARLY_S)

    def _tick(self) -> None:
        self._timer = None
        bounds = self._bounds if self._running else self._at_rest
        why = next((text for each in bounds if (text := each.exceeded())), "")
        if why and self._exceeded is not None:
            exceeded, self._exceeded = self._exceeded, None
            exceeded(why)
        elif self._running:
            self._look_after(_LOOK_S)
        elif bounds:
            self._look_after(min(_IDLE_LOOK_MOST_S, max(_IDLE_LOOK_S, 2 * self._pause_s)))
