"""What a pool is likely to need at an hour of the day: what it needed then on the last days; pure.

It is right about what people and schedules do every day, and knows nothing of anything else: a pool still follows its
claims beside it.
"""

import json
from dataclasses import dataclass, field
from typing import Final

DAYS: Final = 7
"""Days that are looked back."""
DAYS_MIN: Final = 2
"""With fewer there is no pattern."""
LEAD_S: Final = 300.0
"""A pool grows this long before the hour that needs it."""
_HOUR_S: Final = 3600
_HOURS: Final = 24


@dataclass(slots=True)
class DemandPattern:
    """Claims of the busiest refill period in each hour of the last days. Times are seconds since the epoch, in UTC."""

    _days: dict[int, list[int]] = field(default_factory=dict)

    def observe(self, now: float, claims: int) -> None:
        """Claims of a refill period that has just been."""
        day, hour = _hour(now)
        counts = self._days.setdefault(day, [0] * _HOURS)
        counts[hour] = max(counts[hour], claims)
        for old in [known for known in self._days if known < day - DAYS]:
            del self._days[old]

    def expected(self, now: float) -> int:
        """Claims of a refill period that are likely now or in a moment: what the median of the days had at that hour.

        A burst that came once is not waited for; what comes on every second day is.
        """
        return max(self._typical(*_hour(now)), self._typical(*_hour(now + LEAD_S)))

    def _typical(self, day: int, hour: int) -> int:
        counts = sorted(counts[hour] for known, counts in self._days.items() if known != day)
        return counts[len(counts) // 2] if len(counts) >= DAYS_MIN else 0

    def text(self) -> str:
        """In a form that an annotation can have."""
        return json.dumps({str(day): counts for day, counts in sorted(self._days.items())}, separators=(",", ":"))


def parse_pattern(text: str) -> DemandPattern:
    """What `DemandPattern.text` made; what is none is nothing to go by."""
    try:
        days = {int(day): [max(0, int(count)) for count in counts] for day, counts in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        return DemandPattern()
    return DemandPattern({day: counts for day, counts in days.items() if len(counts) == _HOURS})


def _hour(now: float) -> tuple[int, int]:
    hours = int(now // _HOUR_S)
    return hours // _HOURS, hours % _HOURS
