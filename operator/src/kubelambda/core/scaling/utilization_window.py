"""Averages of a gauge by period, out of looks at it: pure, with the time passed in."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from kubelambda.core.scaling.target_tracking import Sample


@dataclass(slots=True)
class _Period:
    number: int
    total: float = 0.0
    looks: int = 0
    traffic: bool = False


@dataclass(slots=True)
class UtilizationWindow:
    """The last `periods` periods of `period` seconds. Times are seconds since the epoch."""

    period: float
    periods: int
    _kept: deque[_Period] = field(default_factory=deque)
    _invocations: float | None = None

    def observe(self, now: float, utilization: float, invocations: float) -> None:
        """One look: the gauge, and the counter of invocations, which begins anew when its process does."""
        number = int(now // self.period)
        if not self._kept or self._kept[-1].number != number:
            self._kept.append(_Period(number))
            while len(self._kept) > self.periods + 1:
                self._kept.popleft()
        current = self._kept[-1]
        current.total += utilization
        current.looks += 1
        before, self._invocations = self._invocations, invocations
        # The first look cannot tell when what it counts happened.
        current.traffic = current.traffic or (before is not None and invocations != before)

    def samples(self, now: float) -> Iterator[Sample]:
        """Averages of the periods that are over and in which something was invoked, oldest first."""
        running = int(now // self.period)
        for found in self._kept:
            if found.number < running and found.traffic:
                yield Sample((found.number + 1) * self.period, found.total / found.looks)
