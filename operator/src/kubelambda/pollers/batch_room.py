"""Room for the batches of this poller: who would hold too much waits before it receives, not with what it has."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Self

from kubelambda.core.mapping.held_bytes import EXPECTED_LEAST, ByteLimits, HeldBytes, expected
from kubelambda.pollers.mapping_view import MappingView
from kubelambda.pollers.poller_metrics import PollerMetrics


class BatchRoom:
    """Of all mappings. Those that wait are served one mapping after the other."""

    def __init__(self, limits: ByteLimits | None = None) -> None:
        self._held = HeldBytes(limits or ByteLimits())
        self._waiting: OrderedDict[MappingRoom, deque[tuple[HeldBatch, asyncio.Future[None]]]] = OrderedDict()

    def of(self, view: MappingView, metrics: PollerMetrics) -> "MappingRoom":
        """What a mapping has of it, told as a metric."""

        def told(waiting: int) -> None:
            metrics.room_waits(view.namespace, view.name, waiting)

        return MappingRoom(self, view.account, view.uid, told)

    def admits(self, mapping: "MappingRoom") -> bool:
        """Whether a mapping may receive now: those of its batches that wait come first."""
        return mapping not in self._waiting and self._held.admits(mapping.account, mapping.name)

    def wait(self, batch: "HeldBatch") -> asyncio.Future[None]:
        """A place in the queue; done once the batch holds what is expected of it. Cancelled, it is given up."""
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(batch.mapping, deque()).append((batch, ticket))
        batch.mapping.told(len(self._waiting[batch.mapping]))
        return ticket

    def leave(self, batch: "HeldBatch", ticket: asyncio.Future[None]) -> None:
        """Gives a place in the queue up."""
        if ticket.cancel():
            queue = self._waiting[batch.mapping]
            queue.remove((batch, ticket))
            self._tidy(batch.mapping, queue)

    def change(self, mapping: "MappingRoom", more: int) -> None:
        """A mapping holds more, or less: then others may go on."""
        self._held.add(mapping.account, mapping.name, more)
        if more < 0:
            self._serve()

    def _serve(self) -> None:
        served = True
        while served:
            served = False
            for mapping in list(self._waiting):
                if self._held.admits(mapping.account, mapping.name):
                    queue = self._waiting[mapping]
                    batch, ticket = queue.popleft()
                    batch.expect()
                    ticket.set_result(None)
                    self._tidy(mapping, queue)
                    served = True

    def _tidy(self, mapping: "MappingRoom", queue: deque[tuple["HeldBatch", asyncio.Future[None]]]) -> None:
        mapping.told(len(queue))
        if queue:
            self._waiting.move_to_end(mapping)
        else:
            del self._waiting[mapping]


class MappingRoom:
    """What one mapping has of it. `told` hears how many of its batches wait, whenever that changes."""

    def __init__(self, room: BatchRoom, account: str, name: str, told: Callable[[int], None]) -> None:
        """`name` is one that no other mapping has."""
        self.account = account
        self.name = name
        self.told = told
        self.room = room
        self.expected = EXPECTED_LEAST

    def batch(self) -> "HeldBatch":
        """What one batch after the other holds, until the block ends."""
        return HeldBatch(self)

    def learn(self, size: int) -> None:
        """What a batch had when it was complete; 0 when nothing came."""
        self.expected = expected(self.expected, size)


class HeldBatch:
    """The bytes of one batch."""

    def __init__(self, mapping: MappingRoom) -> None:
        self.mapping = mapping
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.now(0)

    async def begin(self, ended: asyncio.Event) -> None:
        """Waits until the mapping may receive, or is to end. What is expected to come is held from then on."""
        room = self.mapping.room
        if room.admits(self.mapping):
            self.expect()
            return
        ticket = room.wait(self)
        ending = asyncio.ensure_future(ended.wait())
        try:
            await asyncio.wait((ticket, ending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()
            room.leave(self, ticket)

    def expect(self) -> None:
        """Holds what the next receive is expected to bring, beside what is here."""
        self.now(self._size + self.mapping.expected)

    def now(self, size: int) -> None:
        """So many bytes are here."""
        more, self._size = size - self._size, size
        if more:
            self.mapping.room.change(self.mapping, more)
