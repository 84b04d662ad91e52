"""The log of an environment: what the runtime prints, framed by Lambda's own lines (§9.1)."""

import os
import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from kubelambda.api import limits

_READ_BYTES = 65_536
FLUSH_S = 0.1
"""How long a line of ours may wait for others."""


def stream_name(version: str, now: datetime) -> str:
    """Name of an environment's log stream, for its whole life."""
    return f"{now.astimezone(UTC):%Y/%m/%d}/[{version}]{secrets.token_hex(16)}"


def start_line(request_id: str, version: str) -> str:
    """Begins an invocation."""
    return f"START RequestId: {request_id} Version: {version}\n"


def end_line(request_id: str) -> str:
    """Ends an invocation."""
    return f"END RequestId: {request_id}\n"


def report_line(
    request_id: str,
    *,
    duration_ms: float,
    billed_ms: int,
    memory_size: int,
    memory_used: int,
    init_ms: float | None = None,
    status: str | None = None,
    error_type: str | None = None,
) -> str:
    """Sums an invocation up. Memory in MB."""
    line = f"REPORT RequestId: {request_id}\tDuration: {duration_ms:.2f} ms\tBilled Duration: {billed_ms} ms\t"
    line += f"Memory Size: {memory_size} MB\tMax Memory Used: {memory_used} MB\t"
    if init_ms is not None:
        line += f"Init Duration: {init_ms:.2f} ms\t"
    if status is not None:
        line += f"Status: {status}" + (f"\tError Type: {error_type}" if error_type else "")
    return line + "\n"


def init_report_line(duration_ms: float, *, phase: str, status: str, error_type: str | None = None) -> str:
    """Reports an initialization that failed or took too long."""
    line = f"INIT_REPORT Init Duration: {duration_ms:.2f} ms\tPhase: {phase}\tStatus: {status}"
    return line + (f"\tError Type: {error_type}\n" if error_type else "\n")


def billed_ms(duration_ms: float, increment_ms: int) -> int:
    """Milliseconds that are billed: rounded up to a multiple of the increment, at least one of them (§9.4)."""
    return max(1, -int(-duration_ms // increment_ms)) * increment_ms


class Log:
    """Everything to one descriptor, and the last 4 KB of the present invocation.

    What the runtime prints goes out at once. Our own lines wait for it, or for `FLUSH_S`: each write wakes the
    container runtime, which costs more than the line. An agent that is killed loses no more than those.
    """

    def __init__(self, output: int, source: int, later: Callable[[float, Callable[[], None]], object]) -> None:
        self._output = output
        self._source = source
        self._later = later
        self._pending = bytearray()
        self._flushing = False
        self._tail = bytearray()
        self._line_open = False
        os.set_blocking(source, False)

    def write(self, line: str) -> None:
        """One of our own lines, never glued to an unfinished one of the runtime's."""
        data = line.encode()
        self._add(b"\n" + data if self._line_open else data)
        if not self._flushing:
            self._flushing = True
            self._later(FLUSH_S, self._flush_later)

    def drain(self) -> None:
        """Takes over what the runtime has printed so far."""
        while True:
            try:
                data = os.read(self._source, _READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                return
            self._add(data)
            self.flush()
            if len(data) < _READ_BYTES:
                return

    def begin(self) -> None:
        """A new invocation: the tail starts empty."""
        self._tail.clear()

    def tail(self) -> bytes:
        """The last 4,096 bytes since `begin` (§2.2.2)."""
        return bytes(self._tail[-limits.LOG_TAIL_BYTES :])

    def flush(self) -> None:
        """Writes out what waits."""
        view = memoryview(bytes(self._pending))
        self._pending.clear()
        while view:
            view = view[os.write(self._output, view) :]

    def _flush_later(self) -> None:
        self._flushing = False
        self.flush()

    def _add(self, data: bytes) -> None:
        self._line_open = not data.endswith(b"\n")
        self._pending += data
        self._tail += data
        if len(self._tail) > 16 * limits.LOG_TAIL_BYTES:
            del self._tail[: -limits.LOG_TAIL_BYTES]
