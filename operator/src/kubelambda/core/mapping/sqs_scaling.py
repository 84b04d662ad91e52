"""How many batches of a queue may be at the function at once (§7.3.5, D.5)."""

from dataclasses import dataclass, replace
from typing import Final

from kubelambda.core.mapping.provisioned_pollers import ProvisionedPollers

SLOTS_MAX: Final = 1250
_SLOTS_FIRST: Final = 5
_SLOTS_IDLE: Final = 2
_PER_MINUTE: Final = 300
_SLOTS_OF_POLLER: Final = 10
_PROVISIONED_PER_MINUTE: Final = 1000
_FAILED_SHARE_MAX: Final = 0.5


@dataclass(frozen=True, slots=True)
class SlotBounds:
    """What the slots of a mapping keep to."""

    first: int = _SLOTS_FIRST
    least: int = _SLOTS_IDLE
    most: int = SLOTS_MAX
    per_minute: int = _PER_MINUTE
    """How many more they may become while there is more to receive."""


def slot_bounds(maximum_concurrency: int | None, provisioned: ProvisionedPollers | None = None) -> SlotBounds:
    """The bounds of a mapping: those of its scalingConfig, or ten slots for each of its provisioned pollers (§7.3.6).

    No mapping has more than Lambda's own have without provisioned pollers, whatever it asks for.
    """
    if provisioned is not None:
        least = min(SLOTS_MAX, provisioned.minimum * _SLOTS_OF_POLLER)
        most = min(SLOTS_MAX, provisioned.maximum * _SLOTS_OF_POLLER)
        return SlotBounds(least, least, most, _PROVISIONED_PER_MINUTE)
    most = SLOTS_MAX if maximum_concurrency is None else min(SLOTS_MAX, maximum_concurrency)
    return SlotBounds(min(_SLOTS_FIRST, most), min(_SLOTS_IDLE, most), most)


def pollers_of(slots: int) -> int:
    """How many provisioned pollers have so many slots."""
    return -(-slots // _SLOTS_OF_POLLER)


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

    def decided(self, bounds: SlotBounds, seconds: float) -> "SlotCount":
        """The slots from now on, `seconds` after the last decision, counts begun anew."""
        return SlotCount(min(bounds.most, max(bounds.least, self._wanted(bounds.per_minute * seconds / 60))))

    def _wanted(self, more: float) -> int:
        if self.throttles or (self.batches and self.failures / self.batches > _FAILED_SHARE_MAX):
            return self.slots // 2
        if self.full_receives > self.empty_receives:
            return self.slots + max(1, round(more))
        if not self.batches and not self.full_receives:
            return self.slots // 2
        return self.slots

    def counted(self, **more: int) -> "SlotCount":
        """With some counts one or more higher."""
        return replace(self, **{name: getattr(self, name) + count for name, count in more.items()})
