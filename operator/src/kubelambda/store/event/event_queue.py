"""The queue of accepted events, whatever keeps it: what is appended survives everything until it is finished (§6.1)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from kubelambda.core.event.delivery import EventProgress
from kubelambda.core.event.event_ending import EventEnding


class InvokedFunction(NamedTuple):
    """The function that an event is for. `qualifier` is empty for `$LATEST`."""

    namespace: str
    function: str
    qualifier: str


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """One accepted event. `headers` are those that its every attempt carries: client context, trace."""

    target: InvokedFunction
    request_id: str
    payload: bytes
    progress: EventProgress
    headers: Mapping[str, str] = field(default_factory=dict)
    ending: EventEnding | None = None
    """Set once it is at its end, and only its listeners are still to be told."""


class WaitingEvent(NamedTuple):
    """What a queue's owner keeps in memory of an event that waits."""

    number: int
    target: InvokedFunction
    due_at: float


class QueueUnavailable(Exception):
    """The queue cannot keep anything now: it is full, or its disk fails. Nothing was accepted."""


class EventQueue(Protocol):
    """A durable queue with one owner. Numbers grow in the order of acceptance."""

    async def append(self, event: QueuedEvent) -> int:
        """Keeps an event: durable when this returns its number. Raises `QueueUnavailable`."""
        ...

    async def read(self, numbers: Sequence[int]) -> dict[int, QueuedEvent]:
        """Those events that are still there."""
        ...

    async def postpone(self, number: int, progress: EventProgress, ending: EventEnding | None = None) -> None:
        """Keeps how far an event is, and whether it is at its end.

        Raises `QueueUnavailable`; the event then stays as it was.
        """
        ...

    async def finish(self, number: int) -> None:
        """Forgets an event that is at its end. Raises `QueueUnavailable`; it will then be tried again."""
        ...

    def waiting(self) -> AsyncIterator[WaitingEvent]:
        """Every event that is not finished, by number."""
        ...


class SharedEventQueue(EventQueue, Protocol):
    """A queue to which several processes append; one of them, the leader, does all the rest."""

    def arrivals(self) -> AsyncIterator[WaitingEvent]:
        """Every event that is appended after those that `waiting` gave, by whomever; never ends."""
        ...
