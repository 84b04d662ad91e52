"""A keyed work queue: deduplicating, delayed, one worker per key at a time, exponential backoff (KOPF §0, §4)."""

import asyncio
import heapq
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 300.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What to reconcile; never says what happened to it."""

    kind: str
    namespace: str
    name: str


type Reconcile = Callable[[Key], Awaitable[float | None]]
"""Brings one key to its desired state. Returns the seconds after which to look again, or None."""


class WorkQueue:
    """Keys that are due, worked off by a fixed number of workers."""

    def __init__(self, *, observe: Callable[[str, str, float], None]) -> None:
        self._observe = observe
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._running: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Event()

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Makes `key` due in `delay` seconds, or leaves it when it is due sooner."""
        due = time.monotonic() + delay
        known = self._due.get(key)
        if known is None or due < known:
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))
            self._changed.set()

    def oldest_age(self) -> float:
        """Seconds that the oldest due key has waited."""
        return max(0.0, time.monotonic() - min(self._due.values())) if self._due else 0.0

    def __len__(self) -> int:
        return len(self._due)

    async def run(self, reconcile: Reconcile, workers: int) -> None:
        """Works until cancelled. Nothing that `reconcile` raises escapes."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work(reconcile))

    async def _work(self, reconcile: Reconcile) -> None:
        while True:
            key = await self._take()
            started = time.monotonic()
            outcome = "ok"
            try:
                again = await reconcile(key)
                self._failures.pop(key, None)
            except Exception as error:  # noqa: BLE001 - one bad object must never stop the others
                outcome = "error"
                again = self._backoff(key)
                log.warning("%s %s/%s: %s: %s", key.kind, key.namespace, key.name, type(error).__name__, error)
            finally:
                self._running.discard(key)
                self._changed.set()
            self._observe(key.kind, outcome, time.monotonic() - started)
            if again is not None:
                self.add(key, again)

    async def _take(self) -> Key:
        while True:
            now = time.monotonic()
            held = []
            found = None
            while self._heap and self._heap[0][0] <= now:
                due, key = heapq.heappop(self._heap)
                if self._due.get(key) != due:
                    continue
                if key in self._running:
                    held.append((due, key))
                    continue
                found = key
                break
            for entry in held:
                heapq.heappush(self._heap, entry)
            if found is not None:
                del self._due[found]
                self._running.add(found)
                return found
            self._changed.clear()
            wait = None if held or not self._heap else max(0.0, self._heap[0][0] - now)
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue

    def _backoff(self, key: Key) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay: float = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(failures - 1, 10))
        return delay * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
