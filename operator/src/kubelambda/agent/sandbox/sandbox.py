"""The life of an environment: specialization, INIT, one invocation at a time, reset, end (§3.2, §3.3, Appendix B)."""

import base64
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from kubelambda.agent.log import logs
from kubelambda.agent.process import configuration, process
from kubelambda.agent.process.configuration import Paths, Unusable
from kubelambda.agent.process.memory import Memory
from kubelambda.agent.process.runtime_process import RuntimeProcess
from kubelambda.agent.sandbox import code_folder
from kubelambda.agent.sandbox.idle_waiters import IdleWaiters
from kubelambda.agent.sandbox.running_invocation import (
    Failure,
    RunningInvocation,
    answer_headers,
    decoded_error,
    exited,
    not_startable,
    timed_out,
    too_large,
)
from kubelambda.agent.sandbox.runtime_state import RuntimeCall, RuntimeState, after
from kubelambda.api import limits
from kubelambda.api.environment_protocol import EnvironmentState, Specialization
from kubelambda.wire.event_loop import EventLoop, Timer
from kubelambda.wire.server import Request

_INVALID_ENTRYPOINT = "Runtime.InvalidEntrypoint"
_REFUSAL_S = 1.0
_QUICK_BYTES = 262_144

type Initialized = dict[str, Any] | Exception
"""The answer of `/specialize`, or why there is none."""


class Sandbox:
    """Everything that happens in one environment. Lives on one event loop, which is never blocked for long."""

    def __init__(
        self,
        *,
        paths: Paths,
        runtime: RuntimeProcess,
        log: logs.Log,
        loop: EventLoop,
        finished: Callable[[], None],
    ) -> None:
        self._paths = paths
        self._log = log
        self._finished = finished
        self._loop = loop
        self._runtime = runtime
        runtime.on_end = self._runtime_ended
        self.configuration: Specialization | None = None
        self._variables: dict[str, str] = {}
        self.state = RuntimeState.STARTED
        self.invocation: RunningInvocation | None = None
        self._waiters = IdleWaiters(loop)
        self._waiter: Request | None = None
        self._init: Callable[[Initialized], None] | None = None
        self._init_timer: Timer | None = None
        self._init_started = 0.0
        self._init_ms: float | None = None
        self._failed = False
        self._memory = Memory(loop, lambda: runtime.pid)
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
        return True

    def initialize(self, archive: bytes, answer: Callable[[Initialized], None]) -> None:
        """Unpacks the code and runs INIT; `answer` gets what `/specialize` answers."""
        self._init = answer

        def obtained(error: Exception | None) -> None:
            if error is not None:
                self._failed = True
                self._initialized(error)
            elif self._init is not None:
                self._begin_init()

        if archive and len(archive) < _QUICK_BYTES:  # a thread costs more than this little work
            try:
                self._obtain(archive)
            except Unusable as error:
                obtained(error)
            else:
                obtained(None)
            return
        self._loop.in_thread(lambda: self._obtain(archive), obtained)

    def _obtain(self, archive: bytes) -> None:
        code = self._wanted.code
        if code is not None:
            found = archive if code.url is None else code_folder.fetch(code)
            code_folder.verify(code, found)
            code_folder.unpack(found, self._paths.task)

    def _begin_init(self) -> None:
        wanted = self._wanted
        self._variables = configuration.process_environment(
            wanted,
            log_stream=logs.stream_name(wanted.version, datetime.now(UTC)),
            runtime_api=self._paths.runtime_api,
            task=self._paths.task,
            opt=self._paths.opt,
        )
        self._log.begin()
        self._init_started = time.perf_counter()
        self._init_timer = self._loop.call_later(wanted.init_timeout, self._init_timed_out)
        try:
            self._start()
        except Unusable:
            # Nothing to wait for: the first invocation tries again and carries the error, with its request id.
            self._initialized(self._retry_in_first_invocation("error", _INVALID_ENTRYPOINT))

    def _initialized(self, outcome: Initialized) -> None:
        """INIT ended, this way or another."""
        answer, self._init = self._init, None
        if self._init_timer is not None:
            self._init_timer.cancel()
        self._waiters.tell_all()
        if answer is not None:
            answer(outcome)

    def invoke(self, request: Request, request_id: str) -> bool:
        """Begins an invocation; False when the environment cannot take one. The answer comes through `request`."""
        if self.invocation is not None or not self.specialized or self._init or self._failed or self.draining:
            return False
        wanted = self._wanted
        now = time.perf_counter()
        tail = request.headers.get(b"x-amz-log-type", b"").lower() == b"tail"
        arn = request.headers.get(b"x-kubelambda-arn") or wanted.arn.encode()
        invocation = RunningInvocation(request, request_id, arn, tail, now)
        self.invocation = invocation
        self.invocations += 1
        self._memory.began()
        self._log.begin()
        self._log.write(logs.start_line(request_id, wanted.version))
        invocation.timer = self._loop.call_later(wanted.timeout, self._timed_out)
        if self._waiter is not None:
            self._deliver()
        elif not self._runtime.running:
            self._suppressed_init()
        return True

    def drain(self) -> None:
        """Takes nothing new, and ends once nothing is in flight.

        It refuses for a moment before it ends: a frontend that does not know yet must get a 409, which says that its
        event reached nobody, and not a broken connection, which says nothing.
        """
        self.draining = True
        if self.invocation is None:
            self._loop.call_later(_REFUSAL_S, self._end)

    def status(self) -> EnvironmentState:
        """The answer of `/state`."""
        found = self.configuration
        return EnvironmentState(
            specialized=found is not None,
            function_uid=found.uid if found else None,
            function=found.name if found else None,
            version=found.version if found else None,
            revision=found.revision if found else None,
            initialization_type=found.initialization_type if found else None,
            initializing=self._init is not None,
            busy=self.invocation is not None or self._init is not None,
            request_id=self.invocation.id if self.invocation else None,
            finished=self._failed,
            draining=self.draining,
            invocations=self.invocations,
        )

    def when_idle(self, seconds: float, tell: Callable[[], None]) -> None:
        """Calls `tell` once it is not busy, ahead of the answer to the invocation; after `seconds` anyway."""
        if seconds and (self.invocation is not None or self._init is not None):
            self._waiters.add(seconds, tell)
        else:
            tell()

    # -- what the runtime asks --------------------------------------------------------------------------------------

    def next(self, request: Request) -> None:
        """`/next`: the runtime is ready for an event. Raises `InvalidStateTransition`."""
        self.state = after(self.state, RuntimeCall.NEXT)
        self._waiter = request
        if self._init is not None:
            self._init_ms = self._milliseconds_since(self._init_started)
            self._initialized({"status": "ready", "initDurationMs": round(self._init_ms, 2)})
        elif self.invocation is not None:
            self._deliver()

    def response(self, request: Request, request_id: str) -> bool:
        """`/response`: False when it does not belong to the present invocation. Raises `InvalidStateTransition`."""
        invocation = self._answered(request_id, RuntimeCall.RESPONSE)
        if invocation is None:
            return False
        if request.size > limits.RESPONSE_MAX_BYTES:
            self._finish(failure=too_large())
        else:
            self._finish(body=request.body)
        return True

    def error(self, request: Request, request_id: str, error_type: str) -> bool:
        """`/error`: as `response`, with the runtime's own error JSON."""
        if self._answered(request_id, RuntimeCall.ERROR) is None:
            return False
        self._finish(failure=Failure(request.body, "error", error_type))
        return True

    def init_error(self, body: bytes, error_type: str) -> None:
        """`/init/error`: the module cannot be loaded. Raises `InvalidStateTransition`."""
        self.state = after(self.state, RuntimeCall.INIT_ERROR)
        if self.invocation is not None:
            self._log.drain()
            self._finish(failure=Failure(body, "error", error_type))
            self._reset()
        elif self._init is not None:
            self._failed = True
            self._report_init("error", error_type)
            tail = base64.b64encode(self._log.tail()).decode()
            self._initialized({"status": "init-error", "error": decoded_error(body), "log": tail})

    # -- what happens -----------------------------------------------------------------------------------------------

    def _runtime_ended(self, status: int) -> None:
        self._waiter = None
        self.state = RuntimeState.STARTED
        self._log.drain()
        reason = process.exit_reason(status)
        if not self.specialized:
            self._failed = True
            self._end()
        elif self._init is not None:
            self._initialized(self._retry_in_first_invocation("error", "Runtime.ExitError"))
        elif self.invocation is not None and not self.invocation.delivered and self.invocation.init_started is None:
            self._suppressed_init()
        elif self.invocation is not None:
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:  # it took all there is
                self._memory.peak_kb = self._wanted.memory_size * 1024
            self._log.write(f"RequestId: {self.invocation.id} Error: {reason}\nRuntime.ExitError\n")
            self._finish(failure=exited(self.invocation.id, reason))

    # -- inside -----------------------------------------------------------------------------------------------------

    @property
    def _wanted(self) -> Specialization:
        if self.configuration is None:
            raise RuntimeError("the environment is not specialized")
        return self.configuration

    def _start(self) -> None:
        """Starts the runtime process. Raises `Unusable`."""
        self.state = RuntimeState.STARTED
        self._runtime.start(self._wanted.handler, self._variables, self._wanted.variables)

    def _deliver(self) -> None:
        """Hands the event to the waiting runtime."""
        invocation, waiter = self.invocation, self._waiter
        if invocation is None or waiter is None:
            return
        if not waiter.alive:
            self._waiter = None
            return
        self._waiter = None
        invocation.delivered = True
        self.state = RuntimeState.RUNNING
        remaining = invocation.started + self._wanted.timeout - time.perf_counter()
        deadline_ms = int((datetime.now(UTC).timestamp() + remaining) * 1000)
        waiter.respond(200, invocation.request.body, invocation.next_headers(deadline_ms))

    def _answered(self, request_id: str, call: RuntimeCall) -> RunningInvocation | None:
        invocation = self.invocation
        if invocation is None or invocation.id != request_id or not invocation.delivered:
            if self.state is not RuntimeState.RUNNING and (invocation is None or not invocation.delivered):
                after(self.state, call)
            return None
        self.state = after(self.state, call)
        return invocation

    def _finish(self, body: bytes = b"", failure: Failure | None = None) -> None:
        """Ends the invocation: log lines first, then the answer to the caller."""
        invocation = self.invocation
        if invocation is None:
            return
        self.invocation = None
        if invocation.timer is not None:
            invocation.timer.cancel()
        self._waiters.tell_all()
        duration = self._milliseconds_since(invocation.started)
        headers = answer_headers(
            logs.billed_ms(duration, self._wanted.billing_increment_ms),
            failed=failure is not None,
            retire=self.draining,
        )
        answer = failure.body if failure else body
        if invocation.tail:
            self._report(invocation, duration, failure)
            headers += b"X-Amz-Log-Result: " + base64.b64encode(self._log.tail()) + b"\r\n"
            invocation.request.respond(200, answer, headers)
        else:  # the caller does not wait for the log
            invocation.request.respond(200, answer, headers)
            self._report(invocation, duration, failure)
        self._init_ms = None
        if self.draining:
            self._loop.call_later(_REFUSAL_S, self._end)

    def _report(self, invocation: RunningInvocation, duration: float, failure: Failure | None) -> None:
        """The END and REPORT lines, after everything that the runtime printed."""
        self._memory.ended(duration)
        self._log.drain()
        self._log.write(
            logs.end_line(invocation.id)
            + logs.report_line(
                invocation.id,
                duration_ms=duration,
                billed_ms=logs.billed_ms(duration, self._wanted.billing_increment_ms),
                memory_size=self._wanted.memory_size,
                memory_used=min(self._memory.peak_mb, self._wanted.memory_size),
                init_ms=self._init_ms,
                status=failure.status if failure and failure.status == "timeout" else None,
            )
        )

    def _timed_out(self) -> None:
        invocation = self.invocation
        if invocation is None:
            return
        self._log.drain()
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
        self._log.write(f"{stamp}Z {invocation.id} Task timed out after {self._wanted.timeout:.2f} seconds\n\n")
        self._finish(failure=timed_out(invocation.id, self._wanted.timeout))
        self._reset()

    def _reset(self) -> None:
        """Kills the runtime; /tmp stays. The next invocation starts it anew once it is reaped."""
        self._waiter = None
        self.state = RuntimeState.STARTED
        self._runtime.kill()

    def _suppressed_init(self) -> None:
        """INIT within an invocation: under the function's timeout, counted in its duration."""
        invocation = self.invocation
        if invocation is None:
            return
        invocation.init_started = time.perf_counter()
        try:
            self._start()
        except Unusable as error:
            self._finish(failure=not_startable(invocation.id, _INVALID_ENTRYPOINT, str(error)))

    def _init_timed_out(self) -> None:
        if self._init is not None:
            self._initialized(self._retry_in_first_invocation("timeout", None))
            self._reset()

    def _retry_in_first_invocation(self, status: str, error_type: str | None) -> dict[str, Any]:
        self._report_init(status, error_type)
        milliseconds = round(self._milliseconds_since(self._init_started), 2)
        return {"status": "init-timeout", "initDurationMs": milliseconds}

    def _report_init(self, status: str, error_type: str | None) -> None:
        self._log.drain()
        milliseconds = self._milliseconds_since(self._init_started)
        self._log.write(logs.init_report_line(milliseconds, phase="init", status=status, error_type=error_type))

    def _milliseconds_since(self, started: float) -> float:
        return (time.perf_counter() - started) * 1000

    def _end(self) -> None:
        self._runtime.kill()
        with suppress(OSError):
            self._log.drain()
            self._log.flush()
        self._finished()
