"""A batch of one partition in the making, with time passed in (§7.1.6, §7.5.2)."""

from dataclasses import dataclass, field

from kubelambda.api import limits
from kubelambda.core.mapping.stream_rules import GivenUp, StreamRecord, StreamRules

EVENT_MAX_BYTES = limits.SYNC_REQUEST_MAX_BYTES


@dataclass(slots=True)
class PartitionBatch:
    """Records of a partition in order. Times are monotonic seconds."""

    rules: StreamRules
    envelope_bytes: int
    """What an event has around its records."""
    records: list[StreamRecord] = field(default_factory=list)
    since: float = 0.0
    """When its first record came."""
    full: bool = False
    _bytes: int = 0

    @property
    def room(self) -> int:
        """How many more records it can have."""
        return self.rules.size - len(self.records)

    def add(self, record: StreamRecord, now: float) -> bool:
        """Takes a record in. False when it does not fit any more: the batch is complete without it.

        Records that no function gets are in a batch of their own, by why they are refused: order stays what it is.
        """
        if self.records and record.refused is not self.records[0].refused:
            self.full = True
            return False
        size = self._bytes + len(record.encoded) + (1 if self.records else 0)
        if self.records and size + self.envelope_bytes > EVENT_MAX_BYTES:
            self.full = True
            return False
        if not self.records:
            self.since = now
        self.records.append(record)
        self._bytes = size
        self.full = self.full or not self.room
        return True

    @property
    def size(self) -> int:
        """Bytes of its records, with what is between them."""
        return self._bytes

    @property
    def refused(self) -> GivenUp | None:
        """Why the function does not get it; None when it does. One record alone may be too large for an event."""
        if self._bytes + self.envelope_bytes > EVENT_MAX_BYTES:
            return GivenUp.MAXIMUM_PAYLOAD_SIZE_EXCEEDED
        return self.records[0].refused if self.records else None

    def due_s(self, now: float) -> float | None:
        """Seconds until the function gets it; None while nothing is in it."""
        if not self.records:
            return None
        return 0.0 if self.full else max(0.0, self.since + self.rules.window_s - now)
