"""Callers in a closed loop whose number changes, and what became of their requests."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.load import Connection


@dataclass
class Seen:
    """What happened since somebody last asked."""

    answered: int = 0
    throttled: int = 0
    failed: int = 0
    slowest_ms: float = 0.0


@dataclass
class Callers:
    """As many callers as `wanted` says, each with a connection of its own."""

    address: tuple[str, int]
    path: str
    most: int
    wanted: int = 0
    _seen: Seen = field(default_factory=Seen)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: bool = False
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """They wait until they are wanted."""
        self._threads = [threading.Thread(target=self._call, args=(index,)) for index in range(self.most)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """After their last answers."""
        self._stopped = True
        for thread in self._threads:
            thread.join()

    def take(self) -> Seen:
        """What happened since the last call of this."""
        with self._lock:
            found, self._seen = self._seen, Seen()
        return found

    def _call(self, index: int) -> None:
        connection: Connection | None = None
        while not self._stopped:
            if index >= self.wanted:
                time.sleep(0.05)
                continue
            try:
                connection = connection or Connection(self.address, self.path)
                status, failed, elapsed = connection.call()
            except OSError:
                connection = None
                self._count(lambda seen: setattr(seen, "failed", seen.failed + 1))
                continue
            self._answered(status, elapsed, failed=failed)
        if connection is not None:
            connection.close()

    def _answered(self, status: int, elapsed: float, *, failed: bool) -> None:
        with self._lock:
            self._seen.slowest_ms = max(self._seen.slowest_ms, elapsed)
            if status == 429:
                self._seen.throttled += 1
            elif status != 200 or failed:
                self._seen.failed += 1
            else:
                self._seen.answered += 1
        if status == 429:
            time.sleep(0.2)

    def _count(self, change: Callable[[Seen], None]) -> None:
        with self._lock:
            change(self._seen)
