"""What waits to be sent to one subscriber: when it is sent, what is dropped, and when to try again (§4.2.2)."""

from dataclasses import dataclass
from typing import Final

_RETRIES_S: Final = (0.1, 0.2, 0.4, 0.8, 1.6)
FALLEN_BEHIND: Final = "Consumer seems to have fallen behind as it has not acknowledged receipt of logs."


@dataclass(frozen=True, slots=True)
class Dropped:
    """Events that nobody will get."""

    records: int
    size: int
    """In bytes."""
    reason: str


class TelemetryBuffer:
    """Events in the order in which they came, of which one batch at a time is on its way.

    While it is, the next one fills up; once that is full, it is dropped, so that no more than two are ever in memory.
    Times are those of one clock that never goes back, in seconds.
    """

    def __init__(self, max_items: int, max_bytes: int, timeout_s: float) -> None:
        self.resize(max_items, max_bytes, timeout_s)
        self._events: list[bytes] = []
        self._size = 0
        self._since = 0.0
        self._wanted = False
        self._on_its_way: tuple[int, int] | None = None
        self._dropped = Dropped(0, 0, "")

    def resize(self, max_items: int, max_bytes: int, timeout_s: float) -> None:
        """Other bounds from now on."""
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    @property
    def empty(self) -> bool:
        """Whether nothing waits, and nothing is on its way."""
        return not self._events and self._on_its_way is None

    @property
    def full(self) -> bool:
        """Whether the next batch is as large as it may be: the next event drops it, unless it is taken before."""
        return len(self._events) >= self._max_items or self._size >= self._max_bytes

    def add(self, event: bytes, now: float) -> None:
        """One event more. Where a full batch cannot go yet, it is dropped before."""
        if self.full:
            self._drop(len(self._events), self._size, FALLEN_BEHIND)
            self._events, self._size = [], 0
        if not self._events:
            self._since = now
        self._events.append(event)
        self._size += len(event)

    def put_first(self, event: bytes) -> None:
        """One event before all that waits, whatever there is room for: nothing is dropped for it."""
        self._events.insert(0, event)
        self._size += len(event)

    def flush(self) -> None:
        """What is here is to be sent as soon as it can be."""
        self._wanted = bool(self._events)

    def due_at(self) -> float | None:
        """When there will be a batch to send, as things are: some time that has passed for at once, None for never."""
        if not self._events or self._on_its_way is not None:
            return None
        return self._since if self._wanted or self.full else self._since + self._timeout_s

    def take(self, now: float) -> list[bytes]:
        """The batch that is to be sent now, empty when there is none. It is on its way until `sent` or `lost`."""
        due = self.due_at()
        if due is None or now < due:
            return []
        taken, self._events = self._events, []
        self._on_its_way = len(taken), self._size
        self._size = 0
        self._wanted = False
        return taken

    def sent(self) -> None:
        """The batch has arrived."""
        self._on_its_way = None

    def lost(self, reason: str) -> None:
        """The batch will never arrive."""
        if self._on_its_way is not None:
            records, size = self._on_its_way
            self._on_its_way = None
            self._drop(records, size, reason)

    def take_dropped(self) -> Dropped | None:
        """What was dropped since this was asked last, once somebody can be told: nothing is on its way."""
        if self._on_its_way is not None or not self._dropped.records:
            return None
        found, self._dropped = self._dropped, Dropped(0, 0, "")
        return found

    def _drop(self, records: int, size: int, reason: str) -> None:
        before = self._dropped
        self._dropped = Dropped(before.records + records, before.size + size, reason)


def retry_after(attempt: int) -> float | None:
    """Seconds until a batch that could not be sent `attempt + 1` times is sent again; None: never."""
    return _RETRIES_S[attempt] if attempt < len(_RETRIES_S) else None
