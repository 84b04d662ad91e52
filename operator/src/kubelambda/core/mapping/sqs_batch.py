"""Batches of a queue: what one invocation gets, decided record by record and with time passed in (§7.1.6, §7.3.3)."""

import math
from dataclasses import dataclass, field
from typing import Final

from kubelambda.api import limits
from kubelambda.core.mapping.sqs_record import event_bytes

RECEIVE_MAX: Final = 10
"""Messages of one ReceiveMessage."""
RECEIVE_WAIT_MAX_S: Final = 20
EVENT_MAX_BYTES: Final = limits.SYNC_REQUEST_MAX_BYTES


@dataclass(frozen=True, slots=True)
class BatchRules:
    """When a batch is complete."""

    size: int = 10
    window_s: float = 0.0


@dataclass(frozen=True, slots=True)
class BatchMessage:
    """A message that the function is to get."""

    message_id: str
    receipt_handle: str
    record: bytes
    """Its record, encoded."""
    trace: str = ""
    """The trace header that it was sent with."""

    @property
    def deliverable(self) -> bool:
        """Whether an event can hold it at all: a batch of this one message alone would be too large else."""
        return event_bytes(1, len(self.record)) <= EVENT_MAX_BYTES


@dataclass(slots=True)
class Gathering:
    """A batch in the making. Times are monotonic seconds."""

    rules: BatchRules
    messages: list[BatchMessage] = field(default_factory=list)
    record_bytes: int = 0
    since: float = 0.0
    """When its first message came: from then on its visibility runs."""
    full: bool = False

    def add(self, message: BatchMessage, at: float) -> bool:
        """Takes a message in. False when it does not fit any more: the batch is complete without it."""
        if (
            self.messages
            and event_bytes(len(self.messages) + 1, self.record_bytes + len(message.record)) > EVENT_MAX_BYTES
        ):
            self.full = True
            return False
        if not self.messages:
            self.since = at
        self.messages.append(message)
        self.record_bytes += len(message.record)
        self.full = self.full or len(self.messages) >= self.rules.size
        return True

    def complete(self, now: float) -> bool:
        """Whether the function gets it now."""
        return bool(self.messages) and (self.full or now >= self.since + self.rules.window_s)

    def next_receive(self, now: float) -> tuple[int, int]:
        """How many messages to ask for, and for how many seconds to wait for them."""
        count = min(RECEIVE_MAX, self.rules.size - len(self.messages))
        if not self.messages:
            return count, RECEIVE_WAIT_MAX_S
        left = math.ceil(self.since + self.rules.window_s - now)
        return count, max(0, min(RECEIVE_WAIT_MAX_S, left))


def visibility_s(queue_s: float, window_s: float, function_timeout_s: float) -> int:
    """For how long a received message is nobody else's (§7.3.2)."""
    needed = window_s + function_timeout_s
    return int(queue_s if needed <= queue_s else math.ceil(needed) + 30)


def visibility_problem(queue_s: int, function_timeout_s: int) -> str | None:
    """Lambda's words for a queue whose messages come back before the function is done with them (§7.3.2)."""
    if function_timeout_s <= queue_s:
        return None
    return f"Queue visibility timeout: {queue_s} seconds is less than Function timeout: {function_timeout_s} seconds"
