"""What an environment writes to its log, and tells of, when an invocation begins, fails and is over."""

from datetime import UTC, datetime

from kubelambda.agent.log import logs
from kubelambda.agent.log.environment_log import EXTENSION, EnvironmentLog
from kubelambda.agent.process.memory import Memory
from kubelambda.agent.sandbox.initialization import Initialization
from kubelambda.agent.sandbox.running_invocation import Failure, RunningInvocation
from kubelambda.api.environment_protocol import Specialization
from kubelambda.wire.event_loop import EventLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubelambda.agent.telemetry.telemetry_recorder import TelemetryRecorder
    from kubelambda.core.extension.extension_roll import ExtensionRoll


class InvocationReport:
    """Lambda's lines, each after everything that the runtime printed before (§9.1)."""

    def __init__(self, log: EnvironmentLog, memory: Memory) -> None:
        self._log = log
        self._memory = memory
        self.telemetry: TelemetryRecorder | None = None
        """Who tells extensions; None where nobody subscribed, and nobody can."""

    def record_init(
        self,
        wanted: Specialization,
        loop: EventLoop,
        initialization: Initialization | None,
        invocation: RunningInvocation | None,
    ) -> None:
        """Extensions are about to start: some may subscribe, and hear of INIT from its beginning then.

        INIT is a part of the invocation where there is no `initialization`.
        """
        telemetry = self.telemetry
        if telemetry is None:
            from kubelambda.agent.telemetry.telemetry_recorder import TelemetryRecorder  # noqa: PLC0415 - few extensions

            self.telemetry = telemetry = TelemetryRecorder(wanted, loop)
            self._log.heard = telemetry.printed
            if invocation is not None:
                telemetry.began(invocation.id.decode(), invocation.started, invocation.trace_text)
        if initialization is not None:
            telemetry.init_started("init", initialization.started)
        elif invocation is not None:
            telemetry.init_started("invoke", invocation.init_started or invocation.started)

    def hear_extensions(self, source: int | None) -> None:
        """What extensions print comes out there."""
        if source is not None:
            self._log.listen(source, EXTENSION)

    def init_started(self, wanted: Specialization) -> None:
        """INIT begins. An image has no runtime of ours whose version could be told."""
        self._log.begin(tail=True)
        if not wanted.command:
            self._log.write(logs.init_start_line(wanted.runtime, wanted.region))

    def extensions(self, found: "ExtensionRoll", failure: Failure | None = None) -> None:
        """INIT ends: how far each extension is. Once it has succeeded nobody subscribes any more."""
        self._log.drain()
        for each in found:
            events = sorted(each.events)
            self._log.write(logs.extension_line(each.name, each.state.value, events, each.error_type))
        if self.telemetry is not None:
            self.telemetry.init_ended(failure, found)
            if not self.telemetry.wanted:
                self.telemetry = self._log.heard = None

    def init_failed(self, error_type: str) -> None:
        """INIT failed for good."""
        if self.telemetry is not None:
            self._log.drain()
            self.telemetry.init_ended(Failure(b"", "error", error_type))

    def runtime_ready(self) -> None:
        """The runtime asks for an event."""
        if self.telemetry is not None:
            self._log.drain()
            self.telemetry.runtime_ready()

    def began(self, invocation: RunningInvocation, version: bytes) -> None:
        """An invocation begins."""
        self._log.begin(tail=invocation.tail)
        self._log.write(logs.start_line(invocation.id, version))
        if self.telemetry is not None:
            self.telemetry.began(invocation.id.decode(), invocation.started, invocation.trace_text)

    def answered(self, failure: Failure | None, produced_bytes: int) -> None:
        """It has its answer, of the runtime or in its place. After a failure the runtime may be done with it."""
        if self.telemetry is not None:
            if failure is not None:
                self._log.drain()
            self.telemetry.answered(failure, produced_bytes)

    def broke_off(self, failure: Failure | None) -> None:
        """The runtime had answered, and will ask for no other event."""
        if self.telemetry is not None:
            self._log.drain()
            self.telemetry.broke_off(failure)

    def ended_early(self, invocation: RunningInvocation, error_type: str, reason: str) -> None:
        """The process ended, or was ended, in the middle of it."""
        self._fault(logs.early_end_lines(invocation.id, reason, error_type))

    def timed_out(self, invocation: RunningInvocation, timeout: float) -> None:
        """It took longer than it may, in seconds."""
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
        self._fault(f"{stamp}Z {invocation.id.decode()} Task timed out after {timeout:.2f} seconds\n\n".encode())

    def _fault(self, lines: bytes) -> None:
        self._log.drain()
        self._log.write(lines)
        if self.telemetry is not None:
            self.telemetry.fault(lines.decode(errors="replace"))

    def ended(
        self,
        wanted: Specialization,
        invocation: RunningInvocation,
        failure: Failure | None,
        initialization: Initialization | None,
        *,
        duration_ms: float,
        billed_ms: int,
    ) -> None:
        """END and REPORT; the first one says how long `initialization` took."""
        self._memory.ended(duration_ms)
        self._log.drain()
        memory_used = min(self._memory.used_mb, wanted.memory_size)
        init_ms = initialization.take_duration_ms() if initialization else None
        self._log.write(
            logs.end_and_report_lines(
                invocation.id,
                duration_ms=duration_ms,
                billed_ms=billed_ms,
                memory_size=wanted.memory_size,
                memory_used=memory_used,
                init_ms=init_ms,
                status=failure.status if failure and failure.status == "timeout" else None,
            )
        )
        if self.telemetry is not None:
            from kubelambda.core.telemetry.telemetry_events import InvocationMetrics  # noqa: PLC0415 - few subscribe

            metrics = InvocationMetrics(duration_ms, billed_ms, wanted.memory_size, memory_used, init_ms)
            self.telemetry.ended(failure, metrics)
