"""How many batches of a queue may be at the function at once (§7.3.5, D.5)."""

from dataclasses import dataclass, replace
from typing import Final

SLOTS_FIRST: Final = 5
SLOTS_IDLE: Final = 2
SLOTS_MAX: Final = 1250
SLOTS_PER_MINUTE: Final = 300
_FAILED_SHARE_MAX: Final = 0.5


@dataclass(frozen=True, slots=True)
class SlotCount:
    """The slots of a mapping, and what they did since the last decision."""

    slots: int
    full_receives: int = 0
    """Receives that brought all that was asked for: there is more."""
    empty_receives: int = 0
    batches: int = 0
    failures: int = 0
    """Batches that ended in an error of the function."""
    throttles: int = 0

    def decided(self, cap: int, seconds: float) -> "SlotCount":
        """The slots from now on, `seconds` after the last decision, counts begun anew."""
        return SlotCount(min(cap, max(SLOTS_IDLE, self._wanted(seconds))))

    def _wanted(self, seconds: float) -> int:
        if self.throttles or (self.batches and self.failures / self.batches > _FAILED_SHARE_MAX):
            return self.slots // 2
        if self.full_receives > self.empty_receives:
            return self.slots + max(1, round(SLOTS_PER_MINUTE * seconds / 60))
        if not self.batches and not self.full_receives:
            return self.slots // 2
        return self.slots

    def counted(self, **more: int) -> "SlotCount":
        """With some counts one or more higher."""
        return replace(self, **{name: getattr(self, name) + count for name, count in more.items()})


def slot_cap(maximum_concurrency: int | None) -> int:
    """The most slots of a mapping."""
    return SLOTS_MAX if maximum_concurrency is None else min(SLOTS_MAX, maximum_concurrency)


def first_slots(maximum_concurrency: int | None) -> SlotCount:
    """What a mapping begins with."""
    return SlotCount(min(SLOTS_FIRST, slot_cap(maximum_concurrency)))
