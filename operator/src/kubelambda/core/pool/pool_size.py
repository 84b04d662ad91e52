"""How many idle environments a pool keeps: it follows the rate of claims, within limits (DESIGN §4)."""

from collections import deque
from dataclasses import dataclass, field

REFILL_S = 10.0
"""Claims are counted over this long: about what a cluster needs to replace a claimed environment."""
HOLD_S = 300.0
"""A pool that grew stays as large for this long after the claims that it grew for."""


@dataclass(frozen=True, slots=True)
class PoolRange:
    """Idle environments of a pool: at least, and at most."""

    minimum: int
    maximum: int

    def clamp(self, size: int) -> int:
        """The allowed size that is nearest to `size`."""
        return max(self.minimum, min(size, self.maximum))


@dataclass(slots=True)
class PoolDemand:
    """The claims of one pool within `HOLD_S`, counted by periods of `REFILL_S`. Times are seconds on a steady clock."""

    _periods: deque[tuple[float, int]] = field(default_factory=deque)

    def claimed(self, now: float, environments: int = 1) -> None:
        """Counts claims, those too that found the pool empty."""
        if self._periods and now - self._periods[-1][0] < REFILL_S:
            begun, count = self._periods[-1]
            self._periods[-1] = (begun, count + environments)
        else:
            self._periods.append((now, environments))

    def latest(self, now: float) -> int:
        """Claims of the period that runs."""
        return self._periods[-1][1] if self._periods and now - self._periods[-1][0] < REFILL_S else 0

    def wanted(self, size: PoolRange, now: float, *, expected: int = 0) -> int:
        """The minimum, and what the busiest period would have taken while its claims were being replaced.

        `expected` are the claims of a period to come.
        """
        while self._periods and now - self._periods[0][0] > HOLD_S:
            self._periods.popleft()
        busiest = max((count for _, count in self._periods), default=0)
        return size.clamp(size.minimum + max(busiest, expected))
