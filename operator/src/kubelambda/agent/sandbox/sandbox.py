"""The life of an environment: specialization, INIT, one invocation at a time, reset, end (§3.2, §3.3, Appendix B)."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from kubelambda.agent.log import logs
from kubelambda.agent.log.environment_log import EnvironmentLog
from kubelambda.agent.process import configuration, process
from kubelambda.agent.process.configuration import Paths, Unusable
from kubelambda.agent.process.memory import Memory
from kubelambda.agent.process.process import Ended
from kubelambda.agent.process.runtime_process import FunctionProcess
from kubelambda.agent.sandbox.function_bounds import FunctionBounds
from kubelambda.agent.sandbox.held_layers import HeldLayers
from kubelambda.agent.sandbox.idle_waiters import IdleWaiters
from kubelambda.agent.sandbox.initialization import Initialization, Initialized
from kubelambda.agent.sandbox.invocation_report import InvocationReport
from kubelambda.agent.sandbox.preparation import Preparation
from kubelambda.agent.sandbox.running_invocation import (
    Failure,
    RunningInvocation,
    ended_early,
    error_body,
    received,
    timed_out,
)
from kubelambda.agent.sandbox.runtime_state import RuntimeCall, RuntimeState, after
from kubelambda.agent.sandbox.sandbox_status import described
from kubelambda.api.environment_protocol import EnvironmentState, Specialization
from kubelambda.wire.event_loop import EventLoop
from kubelambda.wire.server import Request

_INVALID_ENTRYPOINT = "Runtime.InvalidEntrypoint"
_EXIT_ERROR = "Runtime.ExitError"
_REFUSAL_S = 1.0
_PAUSE_S = 0.02
TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubelambda.agent.sandbox.extension_host import ExtensionHost


class Sandbox:
    """Everything that happens in one environment. Lives on one event loop, which is never blocked for long."""

    def __init__(
        self,
        *,
        paths: Paths,
        runtime: FunctionProcess,
        log: EnvironmentLog,
        memory: Memory,
        bounds: FunctionBounds,
        loop: EventLoop,
        finished: Callable[[], None],
    ) -> None:
        self._paths = paths
        self._log = log
        self._finished = finished
        self._loop = loop
        self.layers = HeldLayers(paths, loop)
        self.runtime = runtime
        runtime.on_end = self._runtime_ended
        self.extensions: ExtensionHost | None = None
        """Who looks after the function's extensions; None where there are none, and nothing is to be waited for."""
        self.settled = 0, 0.0
        """Milliseconds that are billed for the last invocation that extensions went on with, and theirs of them."""
        self.configuration: Specialization | None = None
        self._variables: dict[str, str] = {}
        self._version = b""
        self.state = RuntimeState.STARTED
        self.invocation: RunningInvocation | None = None
        self._waiters = IdleWaiters(loop)
        self._waiter: Request | None = None
        self._preparation: Preparation | None = None
        self._initialization: Initialization | None = None
        self._failed = False
        self._memory = memory
        self._bounds = bounds
        self._reports = InvocationReport(log, memory)
        self.draining = False
        self.invocations = 0

    # -- what the frontend asks -------------------------------------------------------------------------------------

    @property
    def specialized(self) -> bool:
        """Whether a function was handed over, ever."""
        return self.configuration is not None

    def claim(self, wanted: Specialization) -> bool:
        """Takes the environment for a function; False when it was taken before. The lock of every claim."""
        if self.specialized or self.draining:
            return False
        self.configuration = wanted
        self._version = wanted.version.encode()
        return True

    def prepare(self, along: bytes) -> None:
        """Unpacks the archives, some of which came `along`. No code of the function runs before `begin`."""
        found = self._initialization = Initialization(self._loop, self._log, self._init_ended)
        self._preparation = Preparation(self._loop, found, begin=self._begin_init, failed=self._fail)
        self.layers.bring(self.wanted, along, self._preparation.brought)

    def begin(self, answer: Callable[[Initialized], None]) -> bool:
        """Runs INIT once all is unpacked; `answer` gets what `/specialize` answers. False: nothing waits for this."""
        if self.draining or self._preparation is None or not self._preparation.waits:
            return False
        self._preparation.allow(answer)
        return True

    def _fail(self) -> None:
        self._failed = True

    def _init_ended(self) -> None:
        self._memory.initialized()
        self._bounds.rest()
        self._waiters.tell_all()

    def _begin_init(self, initialization: Initialization) -> None:
        wanted = self.wanted
        self._variables = configuration.process_environment(
            wanted,
            log_stream=logs.stream_name(wanted.version, datetime.now(UTC)),
            runtime_api=self._paths.runtime_api,
            task=self._paths.task,
            opt=self._paths.opt,
        )
        self._reports.init_started(wanted)
        self._memory.initializing()
        self._bounds.watch(self._exceeded)
        initialization.begin(wanted.init_timeout, self._init_timed_out)
        self._start()

    def invoke(self, request: Request, request_id: bytes) -> bool:
        """Begins an invocation; False when the environment cannot take one. The answer comes through `request`."""
        wanted = self.configuration
        if wanted is None or self._busy or self._failed or self.draining:
            return False
        self.invocation = invocation = received(request, request_id, wanted.arn)
        self.invocations += 1
        self._memory.began()
        self._bounds.watch(self._exceeded)
        self._reports.began(invocation, self._version)
        invocation.timer = self._loop.call_later(wanted.timeout, self._timed_out)
        if self._waiter is not None:
            self._deliver()
        elif self.extensions is None and not self.runtime.running:
            self.suppressed_init()
        return True

    def drain(self) -> None:
        """Takes nothing new, and ends once nothing is in flight.

        It refuses for a moment before it ends: a frontend that does not know yet must get a 409, which says that its
        event reached nobody, and not a broken connection, which says nothing.
        """
        self.draining = True
        if self.invocation is None:
            self._end_soon()

    @property
    def initialized(self) -> bool:
        """Whether INIT is over and did not fail, and invocations are taken, if not at this moment."""
        begun = self._initialization is not None
        return begun and self.initializing is None and not self._failed and not self.draining

    def status(self) -> EnvironmentState:
        """The answer of `/state`."""
        return replace(
            described(self.configuration, self.invocation, self.settled),
            initializing=self.initializing is not None,
            awaits_begin=self._preparation is not None and self._preparation.waits,
            busy=self._busy,
            finished=self._failed,
            draining=self.draining,
            invocations=self.invocations,
            lost_log_bytes=self._log.lost_bytes,
        )

    def when_idle(self, seconds: float, tell: Callable[[], None]) -> None:
        """Calls `tell` once it is not busy, ahead of the answer to the invocation; after `seconds` anyway."""
        if seconds and self._busy:
            self._waiters.add(seconds, tell)
        else:
            tell()

    # -- what the runtime asks --------------------------------------------------------------------------------------

    def next(self, request: Request) -> None:
        """`/next`: the runtime is ready for an event. Raises `InvalidStateTransition`."""
        if not self.runtime.running or (self.extensions is not None and self.extensions.ending):
            return  # whoever asks is about to end, or had ended before this was read
        self.state = after(self.state, RuntimeCall.NEXT)
        self._waiter = request
        if self.extensions is not None and self.state is RuntimeState.READY:
            self.extensions.runtime_ready()
        else:
            self.proceed()

    # -- what happens -----------------------------------------------------------------------------------------------

    def proceed(self) -> None:
        """Runtime and extensions wait for an event."""
        if (initialization := self.initializing) is not None:
            initialization.ready()
        elif self.invocation is not None:
            self._deliver()

    def _runtime_ended(self, ended: Ended) -> None:
        self._waiter = None
        self.state = RuntimeState.STARTED
        self._memory.reaped(ended.peak_kb)
        self._log.drain()
        invocation = self.invocation
        if not self.specialized:
            self._failed = True
            self._end()
        elif self.extensions is not None:
            self.extensions.runtime_ended(ended)
        elif (initialization := self.initializing) is not None:
            if initialization.begun:  # else it only waited for its function, which gets another
                initialization.to_be_repeated("error", _EXIT_ERROR)
        elif invocation is not None and not invocation.delivered and invocation.init_started is None:
            self.suppressed_init()
        elif invocation is not None:
            self.runtime_failed(ended)

    def runtime_failed(self, ended: Ended) -> None:
        """The runtime process ended in the middle of an invocation."""
        if os.WIFSIGNALED(ended.status) and os.WTERMSIG(ended.status) == signal.SIGKILL:  # it took all there is
            self._memory.exhausted(self.wanted.memory_size)
        self.fail(_EXIT_ERROR, process.exit_reason(ended.status))

    def init_failed(self, body: bytes, error_type: str) -> None:
        """INIT failed for good."""
        if (initialization := self.initializing) is not None:
            self._failed = True
            self._reports.init_failed(error_type)
            initialization.failed(body, error_type)

    def fail(self, error_type: str, reason: str) -> None:
        """A process ended, or was ended, in the middle of an invocation."""
        if (invocation := self.invocation) is not None:
            self._reports.ended_early(invocation, error_type, reason)
            self.finish(failure=ended_early(invocation.id, error_type, reason))

    # -- inside -----------------------------------------------------------------------------------------------------

    @property
    def initializing(self) -> Initialization | None:
        """The INIT that is going on, unpacking included."""
        found = self._initialization
        return found if found is not None and found.pending else None

    @property
    def _busy(self) -> bool:
        return self.invocation is not None or self.initializing is not None

    @property
    def wanted(self) -> Specialization:
        if self.configuration is None:
            raise RuntimeError("the environment is not specialized")
        return self.configuration

    def _start(self) -> None:
        """Starts what there is to start: the extensions, and the runtime process once they have registered."""
        self.state = RuntimeState.STARTED
        if names := self.runtime.extensions:
            self.hosting().start(names, self._variables)
        else:
            self.start_runtime()

    def start_runtime(self) -> None:
        """Starts the runtime process."""
        try:
            self.runtime.start(self.wanted, self._variables)
        except Unusable as error:
            if self.extensions is not None:
                self.extensions.failed(_INVALID_ENTRYPOINT, str(error))
            elif (initialization := self.initializing) is not None:
                # Nothing to wait for: the first invocation tries again and carries the error, with its request id.
                initialization.to_be_repeated("error", _INVALID_ENTRYPOINT)
            elif self.invocation is not None:
                self.finish(failure=ended_early(self.invocation.id, _INVALID_ENTRYPOINT, str(error)))

    def hosting(self) -> "ExtensionHost":
        """Who looks after the extensions, from the first one on."""
        if self.extensions is None:
            from kubelambda.agent.sandbox.extension_host import ExtensionHost  # noqa: PLC0415 - few functions have any

            self.extensions = ExtensionHost(self, self._reports, self._loop)
        return self.extensions

    def _deliver(self) -> None:
        """Hands the event to the waiting runtime."""
        invocation, waiter = self.invocation, self._waiter
        if invocation is None or waiter is None:
            return
        if not waiter.alive:
            self._waiter = None
            return
        self._waiter = None
        again, invocation.delivered = invocation.delivered, True
        self.state = RuntimeState.RUNNING
        remaining = invocation.started + self.wanted.timeout - time.perf_counter()
        deadline_ms = int((time.time() + remaining) * 1000)
        if self.extensions is not None and not again:
            self.extensions.invoked(invocation, deadline_ms)
        waiter.respond(200, invocation.request.body, invocation.next_headers(deadline_ms))

    def finish(self, body: bytes = b"", failure: Failure | None = None) -> None:
        """Ends the invocation, unless extensions go on with it."""
        invocation = self.invocation
        if invocation is None or (self.extensions is not None and self.extensions.keep(invocation, body, failure)):
            return
        self.complete(invocation, body, failure)

    def complete(
        self, invocation: RunningInvocation, body: bytes, failure: Failure | None, trouble: Failure | None = None
    ) -> None:
        """Nothing goes on with it: log lines first, then the answer. `trouble` came after that: only the log has it."""
        self.invocation = None
        if invocation.timer is not None:
            invocation.timer.cancel()
        self._bounds.rest()
        duration = ((invocation.ended or time.perf_counter()) - invocation.started) * 1000
        billed_ms = logs.billed_ms(duration, self.wanted.billing_increment_ms)
        if self.extensions is not None:
            self.settled = billed_ms, self.extensions.after_answer_ms
        self._waiters.tell_all()
        if invocation.tail:
            self._report(invocation, duration, billed_ms, trouble or failure)
            invocation.log = self._log.tail()
        invocation.answer(body, failure, billed_ms, retire=self.draining, busy=invocation.ended is not None)
        if not invocation.tail:  # the caller does not wait for the log
            self._report(invocation, duration, billed_ms, trouble or failure)
        if self.draining:
            self._end_soon()

    def _report(self, invocation: RunningInvocation, duration: float, billed_ms: int, failure: Failure | None) -> None:
        started = self._initialization
        self._reports.ended(self.wanted, invocation, failure, started, duration_ms=duration, billed_ms=billed_ms)

    def _exceeded(self, text: str) -> None:
        """The function took more than it may: it ends here, and the environment takes nothing more."""
        self.reset()
        self.runtime.kill()  # extensions too, at once: it may be they who take it
        if self.invocation is not None:
            self.draining = True
            self.fail(_EXIT_ERROR, text)
        else:
            self.init_failed(error_body(_EXIT_ERROR, text), _EXIT_ERROR)

    def _timed_out(self) -> None:
        self.reset("timeout")  # first: they would print on behind the report
        if (invocation := self.invocation) is not None:
            self._reports.timed_out(invocation, self.wanted.timeout)
            self.finish(failure=timed_out(invocation.id, self.wanted.timeout))

    def reset(self, reason: str = "failure") -> None:
        """Ends the processes; /tmp stays. The next invocation starts them anew once they are reaped."""
        self._waiter = None
        self.state = RuntimeState.STARTED
        if self.extensions is not None:
            self.extensions.end(reason)
        else:
            self._memory.ending()
            self.runtime.kill()

    def suppressed_init(self) -> None:
        """INIT within an invocation: under the function's timeout, counted in its duration."""
        if self.invocation is not None:
            self.invocation.init_started = time.perf_counter()
            self._start()

    def _init_timed_out(self) -> None:
        if self.extensions is not None:
            self.extensions.init_timed_out()
        else:
            self.reset()
            if (initialization := self.initializing) is not None:
                initialization.to_be_repeated("timeout", None)

    def _end_soon(self) -> None:
        if self.extensions is not None:
            self.extensions.end("spindown")
        self._loop.call_later(_REFUSAL_S, self._end)

    def _end(self) -> None:
        if self.extensions is not None and self.extensions.ending:
            self._loop.call_later(_PAUSE_S, self._end)
            return
        self.runtime.kill()
        self._finished()
