"""What an environment writes to its log when an invocation is over."""

from collections.abc import Iterable
from datetime import UTC, datetime

from kubelambda.agent.log import logs
from kubelambda.agent.log.environment_log import EnvironmentLog
from kubelambda.agent.process.memory import Memory
from kubelambda.agent.sandbox.initialization import Initialization
from kubelambda.agent.sandbox.running_invocation import Failure, RunningInvocation
from kubelambda.api.environment_protocol import Specialization

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubelambda.core.extension.extension_roll import Extension


class InvocationReport:
    """Lambda's lines, each after everything that the runtime printed before (§9.1)."""

    def __init__(self, log: EnvironmentLog, memory: Memory) -> None:
        self._log = log
        self._memory = memory

    def init_started(self, wanted: Specialization) -> None:
        """INIT begins. An image has no runtime of ours whose version could be told."""
        self._log.begin(tail=True)
        if not wanted.command:
            self._log.write(logs.init_start_line(wanted.runtime, wanted.region))

    def extensions(self, found: "Iterable[Extension]") -> None:
        """INIT ends: how far each extension is."""
        self._log.drain()
        for each in found:
            events = sorted(each.events)
            self._log.write(logs.extension_line(each.name, each.state.value, events, each.error_type))

    def ended_early(self, invocation: RunningInvocation, error_type: str, reason: str) -> None:
        """The process ended, or was ended, in the middle of it."""
        self._log.drain()
        self._log.write(logs.early_end_lines(invocation.id, reason, error_type))

    def timed_out(self, invocation: RunningInvocation, timeout: float) -> None:
        """It took longer than it may, in seconds."""
        self._log.drain()
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
        line = f"{stamp}Z {invocation.id.decode()} Task timed out after {timeout:.2f} seconds\n\n"
        self._log.write(line.encode())

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
        self._log.write(
            logs.end_and_report_lines(
                invocation.id,
                duration_ms=duration_ms,
                billed_ms=billed_ms,
                memory_size=wanted.memory_size,
                memory_used=min(self._memory.used_mb, wanted.memory_size),
                init_ms=initialization.take_duration_ms() if initialization else None,
                status=failure.status if failure and failure.status == "timeout" else None,
            )
        )
