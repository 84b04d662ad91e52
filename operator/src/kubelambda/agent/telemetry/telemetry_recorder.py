"""What happens in an environment, told to those of its extensions who subscribed (§4.2)."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from kubelambda.agent.log import logs
from kubelambda.agent.log.environment_log import EXTENSION, FUNCTION
from kubelambda.agent.telemetry.printed_lines import PrintedLines
from kubelambda.api.environment_protocol import Specialization
from kubelambda.core.extension.extension_roll import Extension
from kubelambda.core.telemetry import telemetry_events
from kubelambda.core.telemetry.init_history import InitHistory
from kubelambda.core.telemetry.telemetry_events import (
    InvocationMetrics,
    ResponseTimes,
    TelemetryEvent,
    TelemetryOutcome,
)
from kubelambda.core.telemetry.telemetry_subscription import TelemetrySubscription, invalid
from kubelambda.wire.event_loop import EventLoop

_SUCCESS = TelemetryOutcome()
TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubelambda.agent.telemetry.telemetry_delivery import TelemetryDelivery


class RecordedFailure(Protocol):
    """A function error, as far as it concerns telemetry."""

    @property
    def status(self) -> str:
        """Out of §4.2.4."""

    @property
    def error_type(self) -> str:
        """Lambda's name of it, or empty."""


class TelemetryRecorder:
    """There is one from the first extension on, and without subscribers no longer than INIT lasts.

    Whoever subscribed once does so for the life of the environment, by its name: its processes come and go.
    """

    def __init__(self, wanted: Specialization, loop: EventLoop) -> None:
        self._wanted = wanted
        self._loop = loop
        self._deliveries: dict[str, TelemetryDelivery] = {}
        self._history: InitHistory | None = InitHistory()
        self._init = _Init()
        self._run: _Run | None = None
        as_json = wanted.variables.get("AWS_LAMBDA_LOG_FORMAT") == "JSON"
        self._lines = {kind: PrintedLines(kind, as_json, self._publish) for kind in (FUNCTION, EXTENSION)}

    # -- who wants to hear --------------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether one can subscribe: INIT goes on, or failed."""
        return self._history is not None

    @property
    def wanted(self) -> bool:
        """Whether anybody subscribed, or still can."""
        return bool(self._deliveries) or self.open

    def subscribe(self, name: str, wanted: TelemetrySubscription) -> None:
        """Sends an extension all from now on, and what there was of INIT before. Raises `SubscriptionRefused`."""
        known = self._deliveries.get(name)
        if known is None:
            from kubelambda.agent.telemetry.telemetry_delivery import TelemetryDelivery  # noqa: PLC0415 - few subscribe

            self._deliveries[name] = delivery = TelemetryDelivery(wanted, self._loop)
            if self._history is not None:
                self._history.replay(delivery.add, time.time())
        elif known.wanted.api is not wanted.api:
            raise invalid(wanted.api, f"{name} has subscribed to the {known.wanted.api.value} API")
        else:
            known.resume(wanted)
        self._publish(telemetry_events.subscribed(time.time(), name, wanted, again=known is not None))

    # -- INIT ---------------------------------------------------------------------------------------------------------

    def init_started(self, phase: str, started: float) -> None:
        """Extensions are about to be started; `started` is when INIT began, by the clock of durations."""
        self._init = _Init(phase, started)
        self._history = self._history or InitHistory()
        named = logs.runtime_version(self._wanted.runtime, self._wanted.region)
        self._publish(telemetry_events.init_start(_epoch(started), self._wanted, phase, *named))

    def init_ended(self, failure: RecordedFailure | None = None, found: Iterable[Extension] = ()) -> None:
        """INIT is over, and so far is each extension. Once it has succeeded nobody subscribes any more."""
        if self._init.over:
            return
        self._init.over = True
        outcome = _outcome_of(failure)
        self._init_runtime_done(outcome)
        self._flush_lines()
        for each in found:
            events = sorted(each.events)
            self._publish(
                telemetry_events.extension_state(time.time(), each.name, each.state.value, events, each.error_type)
            )
        duration_ms = (time.perf_counter() - self._init.started) * 1000
        self._publish(telemetry_events.init_report(time.time(), self._wanted, self._init.phase, outcome, duration_ms))
        if failure is None:
            self._history = None
            self._resume({each.name for each in found})
        self.flush()

    def _init_runtime_done(self, outcome: TelemetryOutcome = _SUCCESS) -> None:
        """The runtime waits for its first event, or will never do."""
        if not self._init.runtime_done:
            self._init.runtime_done = True
            self._publish(telemetry_events.init_runtime_done(time.time(), self._wanted, self._init.phase, outcome))

    def _resume(self, there: set[str]) -> None:
        """Extensions of those names wait for events; nobody else will come."""
        for name, each in list(self._deliveries.items()):
            if name in there:
                each.resume()
            else:
                self._deliveries.pop(name).close()

    # -- an invocation ------------------------------------------------------------------------------------------------

    def began(self, request_id: str, started: float, trace: str | None) -> None:
        """An invocation began; `started` is when, by the clock of durations."""
        self._run = _Run(request_id, started, trace)
        version = self._wanted.version
        self._publish(telemetry_events.invocation_start(_epoch(started), request_id, version, trace))

    def delivered(self) -> None:
        """The runtime has the event."""
        if self._run is not None:
            self._run.delivered = time.perf_counter()

    def answering(self) -> None:
        """The runtime begins to answer."""
        if self._run is not None and not self._run.first_byte:
            self._run.first_byte = time.perf_counter()

    def answered(self, failure: RecordedFailure | None, produced_bytes: int) -> None:
        """The invocation has its answer: of the runtime, who asks for the next event then, or in its place."""
        run = self._run
        if run is None:
            return
        run.outcome = _outcome_of(failure)
        if self._init.over and run.outcome.status in (telemetry_events.SUCCESS, telemetry_events.ERROR):
            run.answered, run.produced_bytes = time.perf_counter(), produced_bytes
        else:
            self.broke_off(failure)

    def broke_off(self, failure: RecordedFailure | None) -> None:
        """The runtime will ask for no other event."""
        self.init_ended(failure)
        self._done(_outcome_of(failure))

    def runtime_ready(self) -> None:
        """The runtime asks for an event: its first one, or the next one."""
        if not self._init.over:
            self._init_runtime_done()
        elif self._run is not None and self._run.answered:
            self._run.ready = time.perf_counter()
            self._done(self._run.outcome)

    def fault(self, text: str) -> None:
        """What the log says of a process that ended, or took too long."""
        self._flush_lines()
        self._publish(telemetry_events.fault(time.time(), text))

    def ended(self, failure: RecordedFailure | None, metrics: InvocationMetrics) -> None:
        """The invocation is over."""
        run = self._run
        if run is None:
            return
        outcome = _outcome_of(failure)
        self._flush_lines()
        self._done(outcome)
        self._run = None
        self._publish(telemetry_events.report(time.time(), run.id, outcome, metrics, run.trace))
        self.flush()

    def _done(self, outcome: TelemetryOutcome) -> None:
        """The runtime is done with the invocation: told once, and at once, since extensions wait for it."""
        run = self._run
        if run is None or run.done:
            return
        run.done = True
        self._flush_lines()
        now = time.perf_counter()
        self._publish(
            telemetry_events.runtime_done(
                time.time(),
                run.id,
                outcome,
                duration_ms=(now - run.started) * 1000,
                produced_bytes=run.produced_bytes if run.answered else None,
                times=run.times,
                trace=run.trace,
            )
        )
        self.flush()

    # -- lines --------------------------------------------------------------------------------------------------------

    def printed(self, kind: str, data: bytes) -> None:
        """The function, or an extension, printed something."""
        self._lines[kind].add(data, time.time())

    def _flush_lines(self) -> None:
        for each in self._lines.values():
            each.flush(time.time())

    # -- the end of processes -----------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Sends what is here."""
        for each in self._deliveries.values():
            each.flush()

    def flush_then(self, then: Callable[[], None], seconds: float) -> None:
        """Sends what is here, and calls `then` once that has arrived, or could not, or after `seconds`."""
        self._flush_lines()
        self.flush()
        left = set(self._deliveries)
        timer = self._loop.call_later(seconds, then)

        def settled(name: str) -> None:
            left.discard(name)
            if not left and timer.callback is not None:
                timer.cancel()
                self._loop.call_later(0, then)

        for name, each in self._deliveries.items():
            each.when_settled(partial(settled, name))
        settled("")

    def pause(self) -> None:
        """No process is left. What is to be told is kept for the next ones."""
        for each in self._deliveries.values():
            each.pause()

    def _publish(self, event: TelemetryEvent) -> None:
        if self._history is not None:
            self._history.add(event)
        for each in self._deliveries.values():
            each.add(event)


@dataclass(slots=True)
class _Init:
    """One INIT."""

    phase: str = "init"
    started: float = 0.0
    runtime_done: bool = False
    over: bool = False


@dataclass(slots=True)
class _Run:
    """One invocation, and when what happened to it, by the clock of durations; 0: not yet."""

    id: str
    started: float
    trace: str | None
    delivered: float = 0.0
    first_byte: float = 0.0
    answered: float = 0.0
    ready: float = 0.0
    produced_bytes: int = 0
    outcome: TelemetryOutcome = _SUCCESS
    done: bool = False
    """Whether it was told that the runtime is done with it."""

    @property
    def times(self) -> ResponseTimes:
        """What the runtime did, as far as it got."""
        if not self.delivered:
            return ResponseTimes(0.0)
        found = ResponseTimes(_epoch(self.delivered))
        if self.answered:
            first = self.first_byte or self.answered
            found = replace(
                found,
                latency_ms=(first - self.delivered) * 1000,
                duration_ms=(self.answered - first) * 1000,
                overhead_ms=(self.ready - self.answered) * 1000 if self.ready else None,
            )
        return found


def _outcome_of(failure: RecordedFailure | None) -> TelemetryOutcome:
    """How an invocation ended."""
    return _SUCCESS if failure is None else TelemetryOutcome(failure.status, failure.error_type)


def _epoch(then: float) -> float:
    """The time of day of a time by the clock of durations."""
    return time.time() - (time.perf_counter() - then)
