"""INIT of an environment: from its claim to the answer of `/specialize` (§3.3)."""

import base64
import time
from collections.abc import Callable
from typing import Any

from kubelambda.agent.log import logs
from kubelambda.agent.log.environment_log import EnvironmentLog
from kubelambda.agent.sandbox.running_invocation import decoded_error
from kubelambda.wire.event_loop import EventLoop, Timer

type Initialized = dict[str, Any] | Exception
"""The answer of `/specialize`, or why there is none."""


class Initialization:
    """Pending until it has been answered, once."""

    def __init__(self, loop: EventLoop, log: EnvironmentLog, ended: Callable[[], None]) -> None:
        self._loop = loop
        self._log = log
        self._ended = ended
        self.answer: Callable[[Initialized], None] = lambda _: None
        """Gets the outcome, after `ended` was called."""
        self.pending = True
        """Whether it still goes on, unpacking included."""
        self.begun = False
        """Whether code of the function may have run."""
        self.started = 0.0
        """When the first of the function's processes was about to start, by the clock of durations."""
        self._timer: Timer | None = None
        self._duration_ms: float | None = None

    def begin(self, limit_s: float, timed_out: Callable[[], None]) -> None:
        """The runtime process is about to start; `timed_out` is called when it is not ready in `limit_s`."""
        self.begun = True
        self.started = time.perf_counter()
        self._timer = self._loop.call_later(limit_s, timed_out)

    def ready(self) -> None:
        """The runtime waits for its first event."""
        self._duration_ms = self._milliseconds()
        self._end({"status": "ready", "initDurationMs": round(self._duration_ms, 2)})

    def unusable(self, error: Exception) -> None:
        """The code could not be brought here."""
        self._end(error)

    def failed(self, body: bytes, error_type: str) -> None:
        """The runtime says that it cannot load the function; `body` is its error JSON."""
        self._report("error", error_type)
        tail = base64.b64encode(self._log.tail()).decode()
        self._end({"status": "init-error", "error": decoded_error(body), "log": tail})

    def to_be_repeated(self, status: str, error_type: str | None) -> None:
        """It took too long, or its process ended: it is run again inside the first invocation (§3.3.1)."""
        self.broken_off(status, error_type)
        self.repeat()

    def broken_off(self, status: str, error_type: str | None) -> None:
        """As `to_be_repeated`, but for the answer: what is left of it has to end before."""
        if self._timer is not None:
            self._timer.cancel()
        self._report(status, error_type)

    def repeat(self) -> None:
        """Nothing is left of it."""
        self._end({"status": "init-timeout", "initDurationMs": round(self._milliseconds(), 2)})

    def take_duration_ms(self) -> float | None:
        """How long it took, for the one REPORT line that says it."""
        duration, self._duration_ms = self._duration_ms, None
        return duration

    def _end(self, outcome: Initialized) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.pending:
            self.pending = False
            self._ended()
            self.answer(outcome)

    def _report(self, status: str, error_type: str | None) -> None:
        self._log.drain()
        self._log.write(logs.init_report_line(self._milliseconds(), phase="init", status=status, error_type=error_type))

    def _milliseconds(self) -> float:
        return (time.perf_counter() - self.started) * 1000
