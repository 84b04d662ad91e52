"""Takes what the runtime prints, puts Lambda's own lines between, and keeps the tail for those who ask for it."""

import fcntl
import os
from collections.abc import Callable
from functools import partial

from kubelambda.agent.log.log_output import LogOutput
from kubelambda.api import limits
from kubelambda.wire.event_loop import EventLoop

_READ_BYTES = 65_536
FLUSH_S = 0.1
"""How long a line of ours may wait for others."""
_EARLY_S = 0.02
"""So much less where we are awake anyway: being woken costs more than the write."""
FUNCTION = "function"
EXTENSION = "extension"


class EnvironmentLog:
    """Everything to one descriptor, and the last 4 KB of the present invocation where they are asked for.

    What the runtime prints goes out at once. Our own lines wait for it, or for `FLUSH_S`: each write wakes the
    container runtime, which costs more than the line. An agent that is killed loses no more than those.

    A collector that is slow makes the runtime wait, at the pipe that it prints to; never us.
    """

    def __init__(self, output: int, source: int, loop: EventLoop) -> None:
        self._loop = loop
        self._output = LogOutput(output, loop, self._read_on)
        self._reading = True
        self._flushing = False
        self._tail: bytearray | None = None
        self._line_open = False
        self._sources: dict[int, str] = {}
        self._last = source
        self.heard: Callable[[str, bytes], None] | None = None
        """Gets all that is printed as it is read, with whose it is."""
        self.listen(source, FUNCTION)

    def listen(self, source: int, whose: str) -> None:
        """Takes what comes out of a pipe. Its end is for the life of the environment."""
        if source not in self._sources:
            self._sources[source] = whose
            self._pipe_bytes = fcntl.fcntl(source, fcntl.F_GETPIPE_SZ)
            os.set_blocking(source, False)
            if self._reading:
                self._watch(source)

    @property
    def lost_bytes(self) -> int:
        """What was dropped since nobody collected it."""
        return self._output.lost_bytes

    def write(self, lines: bytes) -> None:
        """Lines of our own, never glued to an unfinished one of the runtime's."""
        self._add(b"\n" + lines if self._line_open else lines)
        if not self._flushing:
            self._flushing = True
            self._loop.call_later(FLUSH_S, self._flush_later, _EARLY_S)

    def drain(self) -> None:
        """Takes over what was printed so far: no more than each pipe can hold, as it may go on printing.

        Even for a slow collector: what stays in a pipe comes after the lines that end its invocation.
        """
        for source in self._sources:
            taken = 0
            while taken < self._pipe_bytes and not self._output.overfull:
                size = self._read(source)
                if size == 0:
                    break
                taken += size

    def begin(self, *, tail: bool) -> None:
        """A new invocation: the tail starts empty, where there is one."""
        if not self._reading:  # what INIT, or others between, have printed waits for a slow collector
            self.drain()
        self._tail = bytearray() if tail else None

    def tail(self) -> bytes:
        """The last 4,096 bytes since `begin` (§2.2.2)."""
        return bytes((self._tail or b"")[-limits.LOG_TAIL_BYTES :])

    def flush(self) -> bool:
        """Writes out what was printed, as far as that is possible now. Whether that is all, or nobody takes it."""
        self.drain()
        self._output.flush()
        return self._output.settled

    def _watch(self, source: int) -> None:
        self._loop.add_reader(source, partial(self._readable, source))

    def _readable(self, source: int) -> None:
        self._read(source)
        if self._output.full and self._reading:
            self._reading = False
            for each in self._sources:
                self._loop.remove_reader(each)

    def _read_on(self) -> None:
        if not self._reading:
            self._reading = True
            for source in self._sources:
                self._watch(source)

    def _read(self, source: int) -> int:
        try:
            data = os.read(source, _READ_BYTES)
        except BlockingIOError:
            return 0
        if data:
            if source != self._last:
                self._last = source
                if self._line_open:  # of another one
                    self._add(b"\n")
            self._add(data)
            self._output.flush()
            if self.heard is not None:
                self.heard(self._sources[source], data)
        return len(data)

    def _flush_later(self) -> None:
        self._flushing = False
        self._output.flush()

    def _add(self, data: bytes) -> None:
        self._line_open = not data.endswith(b"\n")
        self._output.add(data)
        if self._tail is not None:
            self._tail += data
            if len(self._tail) > 16 * limits.LOG_TAIL_BYTES:
                del self._tail[: -limits.LOG_TAIL_BYTES]
