"""Takes what the runtime prints, puts Lambda's own lines between, and keeps the tail for those who ask for it."""

import fcntl
import os

from kubelambda.agent.log.log_output import LogOutput
from kubelambda.api import limits
from kubelambda.wire.event_loop import EventLoop

_READ_BYTES = 65_536
FLUSH_S = 0.1
"""How long a line of ours may wait for others."""


class EnvironmentLog:
    """Everything to one descriptor, and the last 4 KB of the present invocation where they are asked for.

    What the runtime prints goes out at once. Our own lines wait for it, or for `FLUSH_S`: each write wakes the
    container runtime, which costs more than the line. An agent that is killed loses no more than those.

    A collector that is slow makes the runtime wait, at the pipe that it prints to; never us.
    """

    def __init__(self, output: int, source: int, loop: EventLoop) -> None:
        self._source = source
        self._pipe_bytes = fcntl.fcntl(source, fcntl.F_GETPIPE_SZ)
        self._loop = loop
        self._output = LogOutput(output, loop, self._read_on)
        self._reading = True
        self._flushing = False
        self._tail: bytearray | None = None
        self._line_open = False
        os.set_blocking(source, False)
        loop.add_reader(source, self._readable)

    @property
    def lost_bytes(self) -> int:
        """What was dropped since nobody collected it."""
        return self._output.lost_bytes

    def write(self, lines: bytes) -> None:
        """Lines of our own, never glued to an unfinished one of the runtime's."""
        self._add(b"\n" + lines if self._line_open else lines)
        if not self._flushing:
            self._flushing = True
            self._loop.call_later(FLUSH_S, self._flush_later)

    def drain(self) -> None:
        """Takes over what the runtime has printed so far: no more than the pipe can hold, as it may go on printing."""
        taken = 0
        while taken < self._pipe_bytes and not self._output.full:
            size = self._read()
            if size == 0:
                return
            taken += size

    def begin(self, *, tail: bool) -> None:
        """A new invocation: the tail starts empty, where there is one."""
        self._tail = bytearray() if tail else None

    def tail(self) -> bytes:
        """The last 4,096 bytes since `begin` (§2.2.2)."""
        return bytes((self._tail or b"")[-limits.LOG_TAIL_BYTES :])

    def flush(self) -> None:
        """Writes out what waits, as far as that is possible now."""
        self._output.flush()

    def _readable(self) -> None:
        self._read()
        if self._output.full:
            self._loop.remove_reader(self._source)
            self._reading = False

    def _read_on(self) -> None:
        if not self._reading:
            self._reading = True
            self._loop.add_reader(self._source, self._readable)

    def _read(self) -> int:
        try:
            data = os.read(self._source, _READ_BYTES)
        except BlockingIOError:
            return 0
        if data:
            self._add(data)
            self._output.flush()
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
