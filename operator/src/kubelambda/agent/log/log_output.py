"""Writes an environment's log to whoever collects it, and is never held up by that."""

import os
import select
from collections.abc import Callable

from kubelambda.wire.event_loop import EventLoop, Timer

FULL_BYTES = 262_144
"""With so much unwritten, nobody should add more, but what an invocation that ends has printed."""
_BOUND_BYTES = 4 * FULL_BYTES
DEAD_S = 5.0
"""A collector that takes nothing for so long is taken for dead."""


class LogOutput:
    """One descriptor, not blocking, with a bounded buffer before it.

    While the collector takes something now and then, nothing is lost: `full` tells those who add to wait. Once it is
    dead, what is added is counted and dropped, so that the function does not stop with it; when it lives again, a line
    says how much is missing.
    """

    def __init__(self, descriptor: int, loop: EventLoop, on_room: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._loop = loop
        self._on_room = on_room
        self._pending = bytearray()
        self._blocked: Timer | None = None
        self._dead = False
        self._gap = 0
        self.lost_bytes = 0
        """Of the environment's whole life."""
        os.set_blocking(descriptor, False)

    @property
    def full(self) -> bool:
        """Whether to wait for `on_room` before more is added."""
        return len(self._pending) >= FULL_BYTES and not self._dead

    @property
    def overfull(self) -> bool:
        """Whether to add no more at all but lines of our own: what is beyond `_BOUND_BYTES` is lost."""
        return len(self._pending) >= _BOUND_BYTES - FULL_BYTES and not self._dead

    @property
    def settled(self) -> bool:
        """Whether nothing waits for the collector, or nobody waits for it."""
        return self._dead or not self._pending

    def add(self, data: bytes) -> None:
        """Adds to what `flush` writes."""
        if self._dead or len(self._pending) >= _BOUND_BYTES:
            self._lose(len(data))
            return
        self._tell_gap()
        self._pending += data

    def flush(self) -> None:
        """Writes what can be written now; the rest follows by itself."""
        if self._blocked is None:
            self._write()

    def _write(self) -> bool:
        """Whether anything was taken."""
        pending = self._pending
        before = len(pending)
        try:
            while pending:
                del pending[: os.write(self._descriptor, pending)]
        except BlockingIOError:
            self._wait(anew=len(pending) < before)
        except OSError:  # nobody is there, or nothing is left to write to
            self._lose(len(pending))
            pending.clear()
            return False
        return len(pending) < before

    def _tell_gap(self) -> None:
        if self._gap:
            self._pending += b"\n%d bytes of this log are lost: nobody read it\n" % self._gap
            self._gap = 0

    def _lose(self, size: int) -> None:
        self._gap += size
        self.lost_bytes += size

    def _wait(self, *, anew: bool) -> None:
        if self._blocked is None:
            self._loop.watch(self._descriptor, self._writable, select.EPOLLOUT)
        elif anew:
            self._blocked.cancel()
        else:
            return
        self._blocked = self._loop.call_later(DEAD_S, self._give_up)

    def _give_up(self) -> None:
        self._dead = True
        self._on_room()

    def _writable(self, _: int) -> None:
        if self._write() and self._dead:
            self._dead = False
            self._tell_gap()  # what is missing is missing here, and not where something comes next
        if not self._pending and self._blocked is not None:
            self._blocked.cancel()
            self._blocked = None
            self._loop.remove_reader(self._descriptor)
        if len(self._pending) < FULL_BYTES // 2:
            self._on_room()
