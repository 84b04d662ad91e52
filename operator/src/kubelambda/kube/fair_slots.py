"""Room for so much at once, shared fairly: whoever asks for much waits behind itself, not in front of others."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class FairSlots[K: Hashable]:
    """`per_key` slots for each key, of `total` altogether; those that wait are served one key after the other."""

    def __init__(self, per_key: int, total: int | None = None) -> None:
        self._per_key = per_key
        self._total = total
        self._used: Counter[K] = Counter()
        self._waiting: OrderedDict[K, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def used(self) -> int:
        """Slots that are taken."""
        return self._used.total()

    def request(self, key: K) -> asyncio.Future[None]:
        """A place in the queue; done once the slot is given. Whatever came of it, `release` takes it back."""
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(ticket)
        self._serve()
        return ticket

    def release(self, key: K, ticket: asyncio.Future[None]) -> None:
        """Gives a slot back, or the place in the queue."""
        if ticket.done() and not ticket.cancelled():
            self._used[key] -= 1
            if not self._used[key]:
                del self._used[key]
        else:
            ticket.cancel()
            queue = self._waiting.get(key)
            if queue is not None and ticket in queue:
                queue.remove(ticket)
        self._serve()

    @asynccontextmanager
    async def hold(self, key: K) -> AsyncIterator[None]:
        """A slot for as long as the block runs."""
        ticket = self.request(key)
        try:
            if not ticket.done():
                await asyncio.wait([ticket])
            yield
        finally:
            self.release(key, ticket)

    def _serve(self) -> None:
        for key in list(self._waiting):
            if self._total is not None and self.used >= self._total:
                return
            queue = self._waiting[key]
            while queue and queue[0].cancelled():
                queue.popleft()
            if queue and self._used[key] < self._per_key:
                self._used[key] += 1
                queue.popleft().set_result(None)
                self._waiting.move_to_end(key)
            if not queue:
                del self._waiting[key]
