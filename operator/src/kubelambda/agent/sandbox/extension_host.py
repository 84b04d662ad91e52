"""Looks after the extensions of a function for one life of its processes: from their start to their end (§4.1)."""

import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from kubelambda.agent.log import logs
from kubelambda.agent.process import configuration, process
from kubelambda.agent.process.configuration import Unusable
from kubelambda.agent.process.process import Ended
from kubelambda.agent.process.runtime_process import FunctionProcess
from kubelambda.agent.sandbox.event_waiters import EventWaiters, ExtensionEvent
from kubelambda.agent.sandbox.initialization import Initialization
from kubelambda.agent.sandbox.invocation_report import InvocationReport
from kubelambda.agent.sandbox.running_invocation import Failure, RunningInvocation
from kubelambda.agent.sandbox.runtime_state import RuntimeState
from kubelambda.api.environment_protocol import Specialization
from kubelambda.core.extension.extension_roll import SHUTDOWN, Extension, ExtensionRoll
from kubelambda.core.extension.extension_state import ExtensionRefused, ExtensionState, ExtensionStep
from kubelambda.core.telemetry.telemetry_subscription import TelemetryApi, closed, parse_subscription
from kubelambda.wire.event_loop import EventLoop, Timer
from kubelambda.wire.server import Request

_RUNTIME_S = 0.3
"""How long the runtime has to end before extensions are told to (§4.1.7)."""
_FLUSH_S = 1.0
"""How long SHUTDOWN waits for telemetry that is on its way to those who are told: as Lambda's own emulator waits."""


class ExtendedEnvironment(Protocol):
    """What extensions need of their environment."""

    runtime: FunctionProcess
    state: RuntimeState
    invocation: RunningInvocation | None
    draining: bool
    extensions: "ExtensionHost | None"

    @property
    def wanted(self) -> Specialization:
        """The function."""

    @property
    def initializing(self) -> Initialization | None:
        """The INIT that is going on."""

    def start_runtime(self) -> None:
        """All external extensions have registered."""

    def proceed(self) -> None:
        """Runtime and extensions wait for an event."""

    def complete(
        self, invocation: RunningInvocation, body: bytes, failure: Failure | None, trouble: Failure | None = None
    ) -> None:
        """Nothing goes on with the invocation any more."""

    def fail(self, error_type: str, reason: str) -> None:
        """The invocation ends with an error."""

    def runtime_failed(self, ended: Ended) -> None:
        """The runtime process ended in the middle of an invocation."""

    def reset(self, reason: str = "failure") -> None:
        """Ends the processes."""

    def suppressed_init(self) -> None:
        """INIT within an invocation."""


@dataclass(slots=True)
class _Answer:
    """What the runtime answered, and what went wrong since."""

    body: bytes
    failure: Failure | None
    trouble: Failure | None
    since: float


class ExtensionHost:
    """Everything that an environment does for extensions, and all that it waits for because of them."""

    def __init__(self, sandbox: ExtendedEnvironment, reports: InvocationReport, loop: EventLoop) -> None:
        self._sandbox = sandbox
        self._reports = reports
        self._loop = loop
        self.roll = ExtensionRoll()
        self.ending = False
        """Whether the processes are being ended."""
        self.after_answer_ms = 0.0
        """How long the last invocation went on after the runtime had answered."""
        self._waiters = EventWaiters()
        self._ended_at = 0.0
        self._shutdown: tuple[str, int] | None = None
        self._runtime_ready = False
        self._initialized = False
        self._answer: _Answer | None = None
        self._timers: list[Timer] = []
        self._told: set[str] = set()
        self._killed = False
        self._flushing = False
        if sandbox.state is not RuntimeState.STARTED:  # too late for anybody
            self.roll.close()
            self._initialized, self._runtime_ready = True, sandbox.state is RuntimeState.READY
        else:
            reports.record_init(sandbox.wanted, loop, sandbox.initializing, sandbox.invocation)
        sandbox.runtime.on_extension_end = self._ended

    # -- telemetry ----------------------------------------------------------------------------------------------------

    def subscribe(self, identifier: str, api: TelemetryApi, body: bytes, reserved: Collection[int]) -> None:
        """A subscription to telemetry. Raises `ExtensionRefused` or `SubscriptionRefused`."""
        found = self.roll.known(identifier)
        telemetry = self._reports.telemetry
        if telemetry is None or not telemetry.open or self.ending:
            raise closed(api)
        telemetry.subscribe(found.name, parse_subscription(api, body, reserved))

    def answering(self) -> None:
        """The runtime begins to answer."""
        if (telemetry := self._reports.telemetry) is not None:
            telemetry.answering()

    # -- INIT ---------------------------------------------------------------------------------------------------------

    def start(self, names: list[str], variables: dict[str, str]) -> None:
        """Starts the external ones. The runtime follows once they have registered."""
        given = configuration.extension_environment(variables)
        for name in names:
            try:
                extension = self.roll.started(name, str(uuid.uuid4()))
            except ExtensionRefused as error:
                self.failed("Extension.LaunchError", str(error))
                return
            try:
                self._sandbox.runtime.launch(name, given)
                self._reports.hear_extensions(self._sandbox.runtime.extension_source)
            except Unusable as error:
                extension.take(ExtensionStep.LAUNCH_ERROR)
                extension.error_type = "Extension.LaunchError"
                self.failed("Extension.LaunchError", str(error))
                return

    def register(self, name: str, events: list[str]) -> Extension:
        """`/register`. Raises `ExtensionRefused`."""
        before = self.roll.registered
        found = self.roll.register(name, events, str(uuid.uuid4()))
        if not before and self.roll.registered and not self.ending:
            self._sandbox.start_runtime()
        return found

    def runtime_ready(self) -> None:
        """The runtime asks for an event."""
        self.roll.close()
        self._runtime_ready = True
        self._reports.runtime_ready()
        self._go_on()

    def next(self, identifier: str, request: Request) -> None:
        """`/event/next`. Raises `ExtensionRefused`."""
        found = self.roll.known(identifier)
        if self._waiters.missed(identifier, request):
            return
        if found.state is not ExtensionState.READY or not self._waiters.asks_again(identifier):
            found.take(ExtensionStep.NEXT)
        self._waiters.add(identifier, request)
        if self.ending:
            self._tell(found)
        else:
            self._go_on()

    def _go_on(self) -> None:
        """Somebody waits for an event: is there still anybody to wait for?"""
        if self.ending or not self._runtime_ready:
            return
        if not self._initialized:
            if self.roll.ready:
                self._initialized = True
                self._reports.extensions(self.roll)
                self._sandbox.proceed()
        elif self._answer is None:
            self._sandbox.proceed()
        elif self.roll.settled:
            self._complete()

    # -- an invocation ------------------------------------------------------------------------------------------------

    def invoked(self, invocation: RunningInvocation, deadline_ms: int) -> None:
        """The runtime gets an event, and so do those who subscribed to that."""
        self._runtime_ready = False
        if (telemetry := self._reports.telemetry) is not None:
            telemetry.delivered()
        event: ExtensionEvent = {
            "eventType": "INVOKE",
            "deadlineMs": deadline_ms,
            "requestId": invocation.id.decode(),
            "invokedFunctionArn": invocation.arn.decode(errors="replace"),
        }
        if (trace := invocation.trace) is not None:
            event["tracing"] = {"type": "X-Amzn-Trace-Id", "value": trace.decode(errors="replace")}
        for extension in self.roll.invoked():
            self._waiters.send(extension.identifier, event)

    def keep(self, invocation: RunningInvocation, body: bytes, failure: Failure | None) -> bool:
        """The runtime answered, or something failed. Whether the invocation goes on: its caller need not wait."""
        if not len(self.roll):
            return False
        if self._answer is not None:
            self._answer.trouble = failure
            self._reports.broke_off(failure)
            return True
        sent = len(body if failure is None else failure.body)
        self._reports.answered(failure, sent or invocation.streamed_bytes)
        self._answer = _Answer(body, failure, failure, time.perf_counter())
        if self.ending:
            _stop_timer(invocation)
        if not invocation.answered_at_its_end:
            duration_ms = (time.perf_counter() - invocation.started) * 1000
            billed_ms = logs.billed_ms(duration_ms, self._sandbox.wanted.billing_increment_ms)
            invocation.answer(body, failure, billed_ms, retire=self._sandbox.draining, busy=True)
        return True

    def _complete(self) -> None:
        """Runtime and extensions are done with the invocation, or gone."""
        answer, self._answer = self._answer, None
        invocation = self._sandbox.invocation
        if answer is not None and invocation is not None:
            invocation.ended = max(self._ended_at, answer.since) if self.ending else time.perf_counter()
            self.after_answer_ms = (invocation.ended - answer.since) * 1000
            self._sandbox.complete(invocation, answer.body, answer.failure, answer.trouble)

    # -- failures -----------------------------------------------------------------------------------------------------

    def reported(self, identifier: str, step: ExtensionStep, error_type: str) -> Extension:
        """`/init/error` or `/exit/error`; `failed` is to follow. Raises `ExtensionRefused`."""
        found = self.roll.known(identifier)
        found.take(step)
        found.error_type = error_type
        return found

    def failed(self, error_type: str, reason: str) -> None:
        """The function cannot go on like this: INIT or the invocation fails, and everything is ended."""
        if self.ending:
            return
        sandbox = self._sandbox
        if sandbox.initializing is not None:
            self._break_off_init("error", error_type)
        elif self._costs_an_invocation:
            sandbox.fail(error_type, reason)
        sandbox.reset()

    @property
    def _costs_an_invocation(self) -> bool:
        """Whether an invocation fails with what fails now; one that nobody has begun with is run afterwards."""
        invocation = self._sandbox.invocation
        return invocation is not None and (invocation.delivered or invocation.init_started is not None)

    def init_timed_out(self) -> None:
        """INIT takes too long."""
        self._break_off_init("timeout", None)
        self._sandbox.reset("timeout")

    def _break_off_init(self, status: str, error_type: str | None) -> None:
        as_recorded = Failure(b"", status if status == "timeout" else "failure", error_type or "")
        self._reports.extensions(self.roll, as_recorded)
        if (initialization := self._sandbox.initializing) is not None:
            initialization.broken_off(status, error_type)

    def runtime_ended(self, ended: Ended) -> None:
        """The runtime process ended, on its own or not."""
        self._runtime_ready = False
        if self.ending:
            self._tell_all()
        elif self._sandbox.initializing is None and self._costs_an_invocation:
            self._sandbox.runtime_failed(ended)
            self._sandbox.reset()
        else:
            self.failed("Runtime.ExitError", process.exit_reason(ended.status))

    def _ended(self, name: str, ended: Ended) -> None:
        if self.ending:
            self.roll.ended(name, well=ended.status == 0)
            self._look()
        else:
            self.failed("Extension.Crash", process.extension_exit_reason(ended.status))

    # -- the end ------------------------------------------------------------------------------------------------------

    def end(self, reason: str) -> None:
        """Ends runtime and extensions, each in the time that it has (§4.1.7)."""
        if self.ending:
            return
        self.ending, self._ended_at = True, time.perf_counter()
        if self._answer is not None and (invocation := self._sandbox.invocation) is not None:
            _stop_timer(invocation)
        seconds = self.roll.shutdown_s
        self._shutdown = reason, int((time.time() + seconds) * 1000)
        runtime = self._sandbox.runtime
        if not seconds:
            self._kill()
        elif runtime.running:
            external = any(each.external for each in self.roll)
            runtime.terminate()
            self._timers = [
                self._loop.call_later(seconds, self._kill),
                self._loop.call_later(_RUNTIME_S if external else seconds, lambda: runtime.terminate(force=True)),
            ]
        else:
            self._timers = [self._loop.call_later(seconds, self._kill)]
            self._tell_all()

    def _tell_all(self) -> None:
        """The runtime is gone: now the extensions are told, once they have heard of that."""
        telemetry = self._reports.telemetry
        if telemetry is None or self._killed:
            self._tell_now()
        elif not self._flushing:
            self._flushing = True
            telemetry.flush_then(self._tell_now, _FLUSH_S)

    def _tell_now(self) -> None:
        self._flushing = False
        if self._sandbox.extensions is not self:
            return
        if not self._killed:
            told = self.roll.told_to_end()
            self._told = {each.name for each in told}
            for each in told:
                self._tell(each)
        self._look()

    def _tell(self, extension: Extension) -> None:
        """Sends SHUTDOWN to one that waits for an event; another gets it when it asks."""
        if self._shutdown is None or self._sandbox.runtime.running or self._flushing:
            return
        if SHUTDOWN in extension.events and extension.state is ExtensionState.READY:
            reason, deadline_ms = self._shutdown
            extension.take(ExtensionStep.EVENT)
            event: ExtensionEvent = {"eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": deadline_ms}
            self._waiters.send(extension.identifier, event)

    def _look(self) -> None:
        """Ends all that is left once those that are waited for have ended, and says so once nothing is."""
        runtime = self._sandbox.runtime
        if runtime.running or self._flushing or self._told.intersection(runtime.launched):
            return
        if runtime.launched and not self._killed:
            self._kill()
        elif not runtime.launched:
            self._nothing_is_left()

    def _kill(self) -> None:
        self._killed = True
        self._told.clear()
        runtime = self._sandbox.runtime
        runtime.kill()
        if not runtime.running and not runtime.launched:
            self._nothing_is_left()

    def _nothing_is_left(self) -> None:
        """The next life begins with the next process."""
        for timer in self._timers:
            timer.cancel()
        sandbox = self._sandbox
        if sandbox.extensions is not self:
            return
        sandbox.runtime.kill()  # whatever they left behind
        if (telemetry := self._reports.telemetry) is not None:
            telemetry.pause()
        if self._answer is not None:
            self._complete()
        sandbox.extensions = None
        if (initialization := sandbox.initializing) is not None:
            if not sandbox.draining:  # else it neither failed nor will be repeated: whoever waits finds us gone
                initialization.repeat()
        elif sandbox.invocation is not None:
            sandbox.suppressed_init()


def _stop_timer(invocation: RunningInvocation) -> None:
    """It has failed: that its time passes while the processes end is nothing more to tell."""
    if invocation.timer is not None:
        invocation.timer.cancel()
