"""Batches of a broker's queue, decided message by message and with time passed in (§7.1.6), and how many it may send.

What a broker sends it sends unasked: up to so many messages that nobody has acknowledged, whatever their size.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Final

from kubelambda.core.mapping.mq_record import EventFrame
from kubelambda.core.mapping.sqs_batch import EVENT_MAX_BYTES, BatchRules

PREFETCH_FEW: Final = 10
"""Messages of all lanes together that a broker may send, whatever their size."""
PREFETCH_UNSEEN: Final = 100
"""Messages of a lane that a broker may send when one has been seen or none: what is small may be followed by others."""
PREFETCH_BYTES: Final = 2 * EVENT_MAX_BYTES
_SMOOTHING: Final = 0.5
_WORTHWHILE: Final = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class MqMessage:
    """A message that a broker has sent, and that nobody has acknowledged."""

    record: dict[str, Any]
    """As an event has it."""
    size: int
    """Bytes of its body."""
    handle: Any
    """What its client knows it by."""
    expires_ms: int = 0
    """When it is of no use any more, since 1970; 0: never."""


@dataclass(slots=True)
class MqBatch:
    """A batch in the making. Times are monotonic seconds. No more than `limit` messages come to it."""

    rules: BatchRules
    frame: EventFrame
    limit: int
    messages: list[MqMessage] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    record_bytes: int = 0
    since: float = 0.0
    """When its first message came: the window begins with it."""
    full: bool = False

    def add(self, message: MqMessage, record: bytes, at: float) -> bool:
        """Takes a message in. False when it does not fit any more: the batch is complete without it."""
        count, size = len(self.messages) + 1, self.record_bytes + len(record)
        if self.messages and self.frame.size(count, size) > EVENT_MAX_BYTES:
            self.full = True
            return False
        if not self.messages:
            self.since = at
        self.messages.append(message)
        self.records.append(record)
        self.record_bytes = size
        self.full = self.full or count >= min(self.rules.size, self.limit)
        return True

    def complete(self, now: float) -> bool:
        """Whether the function gets it now."""
        return bool(self.messages) and (self.full or now >= self.since + self.rules.window_s)

    def wait_s(self, now: float) -> float | None:
        """For how long to wait for another message; None: until there is one."""
        return max(0.0, self.since + self.rules.window_s - now) if self.messages else None

    def event(self) -> bytes:
        """What the function gets."""
        return self.frame.event(self.records)

    def without(self, gone: "frozenset[MqMessage]") -> "MqBatch":
        """A batch of the others."""
        kept = [(m, r) for m, r in zip(self.messages, self.records, strict=True) if m not in gone]
        return replace(self, messages=[m for m, _ in kept], records=[r for _, r in kept])


def deliverable(frame: EventFrame, record: bytes) -> bool:
    """Whether an event can hold a record at all: one that is too large is dropped (§7.6.3)."""
    return frame.size(1, len(record)) <= EVENT_MAX_BYTES


@dataclass(frozen=True, slots=True)
class Prefetch:
    """How many messages of a batch a broker may send: those of a whole one, and no more than memory allows."""

    size: int
    """Of a batch."""
    count: int
    """0: the broker may send a single one, which tells how large they are."""
    mean_bytes: float | None = None

    def wanted_bytes(self, messages: int, size: int) -> int:
        """What a broker would send ahead of a whole batch, after one of `messages` with `size` bytes altogether."""
        return max(1, min(PREFETCH_BYTES, self.size * size // max(1, messages)))

    def seen(self, messages: int, size: int, most_bytes: int = PREFETCH_BYTES) -> "Prefetch":
        """After a batch of `messages` with bodies of `size` bytes altogether; a broker may send `most_bytes` ahead."""
        if not messages:
            return self
        mean = size / messages
        if self.mean_bytes is not None:
            mean = _SMOOTHING * mean + (1 - _SMOOTHING) * self.mean_bytes
        known = max(self.count, messages * PREFETCH_UNSEEN)
        wanted = max(1, min(self.size, known, int(most_bytes / max(1.0, mean))))
        much = max(wanted, self.count) >= _WORTHWHILE * min(wanted, self.count)
        enough = messages < self.count < wanted  # the broker had fewer to send, or the event no room for more
        return Prefetch(self.size, wanted if (much or wanted == self.size) and not enough else self.count, mean)


def first_prefetch(size: int, lanes: int, *, looks: bool) -> Prefetch:
    """What a mapping with `lanes` batches of `size` at its function begins with; it may look at one message first."""
    if size * lanes <= PREFETCH_FEW:
        return Prefetch(size, size)
    return Prefetch(size, 0 if looks else min(size, PREFETCH_UNSEEN))
