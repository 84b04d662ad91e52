"""Environments that nobody knows: left behind by a frontend that ended between taking one and saying so: pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

PATIENCE_S = 300.0
"""A pod may be unknown for as long as the slowest start of an environment takes."""


@dataclass(slots=True)
class Unknown:
    """Since when each environment is unknown, by the uid of its pod. Times are seconds on a steady clock."""

    since: dict[str, float] = field(default_factory=dict)

    def overdue(self, unknown: Iterable[str], now: float) -> list[str]:
        """Those that were unknown whenever this was asked in the last `PATIENCE_S`."""
        self.since = {uid: self.since.get(uid, now) for uid in unknown}
        return [uid for uid, since in self.since.items() if now - since >= PATIENCE_S]
