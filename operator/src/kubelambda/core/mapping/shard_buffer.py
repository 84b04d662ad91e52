"""Records of one shard between being read and being done: batches out of lanes, and how far all of it is done (§7.4.4).

Records are done in any order, lane by lane; the checkpoint is the last record before which nothing is left. Monotonic
times are passed in.
"""

import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from kubelambda.api import limits
from kubelambda.core.mapping.sqs_record import event_bytes
from kubelambda.core.mapping.stream_rules import StreamRecord, StreamRules
from kubelambda.core.mapping.tumbling_window import window_start

ENVELOPE_BYTES: Final = 1024
"""What an event has beside its records, at most: not the state of a window, which counts on its own."""
EVENT_MAX_BYTES: Final = limits.SYNC_REQUEST_MAX_BYTES - ENVELOPE_BYTES
COUNT_MAX: Final = 20_000
BYTES_MAX: Final = 16 << 20
"""A shard of which more waits is not read on."""


@dataclass(slots=True, eq=False)
class _Entry:
    sequence: str
    done: bool
    passed_over: bool = False


@dataclass(frozen=True, slots=True)
class _Waiting:
    record: StreamRecord
    entry: _Entry
    since: float


@dataclass(slots=True)
class ShardBuffer:
    """One shard. `checkpoint` is the sequence number of the last record up to which everything is done."""

    rules: StreamRules
    checkpoint: str | None = None
    state_bytes: int = 0
    """Size of the state that the next event carries."""
    bytes_held: int = 0
    """Of records that are not done."""
    _order: deque[_Entry] = field(default_factory=deque)
    _lanes: list[deque[_Waiting]] = field(default_factory=list)
    _taken: dict[StreamRecord, _Entry] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lanes = [deque() for _ in range(self.rules.lanes)]

    @property
    def empty(self) -> bool:
        """Whether nothing is left to be done."""
        return not self._order

    @property
    def full(self) -> bool:
        """Whether so much waits that nothing more should be read."""
        return len(self._order) >= COUNT_MAX or self.bytes_held >= BYTES_MAX

    def add(self, record: StreamRecord, now: float) -> int:
        """Takes in the next record of the shard; the lane in which it waits."""
        entry = _Entry(record.sequence, done=False)
        self._order.append(entry)
        self.bytes_held += len(record.encoded)
        lane = zlib.crc32(record.key.encode()) % self.rules.lanes
        self._lanes[lane].append(_Waiting(record, entry, now))
        return lane

    def skip(self, sequence: str) -> None:
        """Passes over the next record: the function does not get it."""
        self._order.append(_Entry(sequence, done=True, passed_over=True))
        self._advance()

    def take(self, lane: int, now: float, *, closing: bool = False) -> tuple[StreamRecord, ...]:
        """The next batch of a lane, in order; empty while none is complete. `closing`: no record follows."""
        waiting = self._lanes[lane]
        count, complete = self._complete(waiting)
        if not count or not (complete or closing or now >= waiting[0].since + self.rules.window_s):
            return ()
        taken = [waiting.popleft() for _ in range(count)]
        for each in taken:
            self._taken[each.record] = each.entry
        return tuple(each.record for each in taken)

    def due_s(self, lane: int, now: float) -> float | None:
        """Seconds until the window of a lane's next batch is over; None while nothing waits."""
        waiting = self._lanes[lane]
        return max(0.0, waiting[0].since + self.rules.window_s - now) if waiting else None

    def done(self, records: Iterable[StreamRecord]) -> None:
        """Records of batches that were taken need nothing more."""
        for record in records:
            self._taken.pop(record).done = True
            self.bytes_held -= len(record.encoded)
        self._advance()

    def give_back(self) -> str | None:
        """Forgets what waits behind the last record that is in a batch or done: it is read again.

        Returns the sequence number after which to go on; None when that is the begin.
        """
        taken, gone = set(self._taken.values()), set[_Entry]()
        while (
            self._order and self._order[-1] not in taken and (not self._order[-1].done or self._order[-1].passed_over)
        ):
            gone.add(self._order.pop())
        for waiting in self._lanes:
            while waiting and waiting[-1].entry in gone:
                self.bytes_held -= len(waiting.pop().record.encoded)
        return self._order[-1].sequence if self._order else self.checkpoint

    def _complete(self, waiting: Sequence[_Waiting]) -> tuple[int, bool]:
        """How many records the next batch has, and whether none of those that may follow can join it."""
        size = 0
        first: int | None = None
        for count, each in enumerate(waiting):
            window = window_start(each.record.arrival, self.rules.tumbling_s)
            first = window if first is None else first
            size += len(each.record.encoded)
            too_large = event_bytes(count + 1, size + self.state_bytes) > EVENT_MAX_BYTES
            if count >= self.rules.size or (count and (too_large or window != first)):
                return count, True
        return len(waiting), len(waiting) >= self.rules.size

    def _advance(self) -> None:
        while self._order and self._order[0].done:
            self.checkpoint = self._order.popleft().sequence
