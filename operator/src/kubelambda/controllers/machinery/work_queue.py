"""A keyed work queue: deduplicating, delayed, rate-limited, one worker per key, exponential backoff."""

import asyncio
import heapq
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kubelambda.core.account.token_bucket import full
from kubelambda.wire.cancellation import is_of_this_task

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 300.0
RATE_PER_S = 100.0
BURST = 200.0
_RATE_PAUSE_S = 0.02

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What to reconcile; never says what happened to it."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class BackOff:
    """An outcome: not there yet, and nothing will tell us when; look again, ever more rarely."""

    most: float = BACKOFF_MAX_S
    """Longest pause in seconds."""


type Outcome = float | BackOff | None
"""Seconds after which to look again, or None when the key is settled. Only None makes earlier failures forgotten."""

type Reconcile = Callable[[Key], Awaitable[Outcome]]
"""Brings one key closer to its desired state. What it raises counts as an error and is tried again."""


class WorkQueue:
    """Keys that are due, in the order in which they became due."""

    def __init__(self, *, observe: Callable[[str, str, float], None]) -> None:
        self._observe = observe
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._running: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Event()
        self._finished = time.monotonic()
        self._bucket = full(BURST, RATE_PER_S, time.monotonic())

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Makes `key` due in `delay` seconds, or leaves it when it is due sooner.

        A key that is being worked on becomes due again after that: what happened meanwhile is never missed.
        """
        due = time.monotonic() + delay
        known = self._due.get(key)
        if known is not None and known <= due:
            return
        self._due[key] = due
        if key not in self._running:
            self._push(due, key)

    def oldest_age(self) -> float:
        """Seconds that the longest waiting due key has waited."""
        now = time.monotonic()
        waiting = (due for key, due in self._due.items() if key not in self._running)
        return max(0.0, now - min(waiting, default=now))

    def stuck_for(self) -> float:
        """Seconds since a key was finished, or became due, while some are due; 0 while none is."""
        return min(self.oldest_age(), time.monotonic() - self._finished)

    def is_running(self, key: Key) -> bool:
        """Whether `key` is being worked on."""
        return key in self._running

    def running(self, namespace: str) -> int:
        """How many keys of a namespace are being worked on."""
        return sum(key.namespace == namespace for key in self._running)

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
            label = "ok"
            again: float | None
            try:
                outcome = await reconcile(key)
                again = self._next(key, outcome)
            except (Exception, asyncio.CancelledError) as error:
                if is_of_this_task(error):
                    raise
                # One bad object must never stop the others.
                label = "error"
                again = self._next(key, BackOff())
                log.warning("%s %s/%s: %s: %s", key.kind, key.namespace, key.name, type(error).__name__, error)
            finally:
                self._finish(key)
            self._observe(key.kind, label, time.monotonic() - started)
            if again is not None:
                self.add(key, again)

    async def _take(self) -> Key:
        while True:
            now = time.monotonic()
            while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
                heapq.heappop(self._heap)  # superseded by an earlier time
            wait = self._heap[0][0] - now if self._heap else None
            if wait is not None and wait <= 0:
                if self._bucket.take(now):
                    _, key = heapq.heappop(self._heap)
                    del self._due[key]
                    self._running.add(key)
                    return key
                wait = _RATE_PAUSE_S
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue

    def _finish(self, key: Key) -> None:
        self._finished = time.monotonic()
        self._running.discard(key)
        due = self._due.get(key)
        if due is not None:
            self._push(due, key)

    def _push(self, due: float, key: Key) -> None:
        heapq.heappush(self._heap, (due, key))
        self._changed.set()

    def _next(self, key: Key, outcome: Outcome) -> float | None:
        if outcome is None:
            self._failures.pop(key, None)
        if not isinstance(outcome, BackOff):
            return outcome
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause: float = min(outcome.most, BACKOFF_FIRST_S * 2 ** min(failures - 1, 10))
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
