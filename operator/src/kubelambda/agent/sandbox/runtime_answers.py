"""What a runtime answers to an event, and what that means for its invocation (§3.1)."""

from kubelambda.agent.sandbox.running_invocation import Failure, RunningInvocation, ended_early, too_large
from kubelambda.agent.sandbox.runtime_state import RuntimeCall, RuntimeState, after
from kubelambda.agent.sandbox.sandbox import Sandbox
from kubelambda.api import limits
from kubelambda.wire.server import Request

_TRUNCATED = "HTTP request detected as truncated"


class RuntimeAnswers:
    """Takes the answers of the runtime in one environment."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def expected(self, request_id: bytes) -> bool:
        """Whether the runtime is to answer this request."""
        invocation = self._sandbox.invocation
        return invocation is not None and invocation.delivered and invocation.id == request_id

    def response(self, request: Request, request_id: bytes, failure: Failure | None = None) -> bool:
        """`/response`: False when it does not belong to the present invocation. Raises `InvalidStateTransition`.

        `failure` is what went wrong after the runtime had begun to answer.
        """
        if self._answered(request_id, RuntimeCall.RESPONSE) is None:
            return False
        if failure is not None:
            self._sandbox.finish(failure=failure)
        elif request.size > limits.RESPONSE_MAX_BYTES:
            self._sandbox.finish(failure=too_large())
        else:
            self._sandbox.finish(body=request.body)
        return True

    def truncated(self, request_id: bytes) -> None:
        """`/response` broke off."""
        running = self._sandbox.state in (RuntimeState.RUNNING, RuntimeState.RESPONDING)
        if running and self.expected(request_id):
            self._answered(request_id, RuntimeCall.RESPONSE)
            self._sandbox.finish(failure=ended_early(request_id, "Runtime.TruncatedResponse", _TRUNCATED))

    def exceeded(self, most: int) -> None:
        """`/response` is streamed and goes on after the last byte that may be: nobody waits for its end."""
        self._sandbox.reset()
        self._sandbox.finish(failure=too_large(most))

    def error(self, request: Request, request_id: bytes, error_type: str) -> bool:
        """`/error`: as `response`, with the runtime's own error JSON."""
        if self._answered(request_id, RuntimeCall.ERROR) is None:
            return False
        if request.size > limits.RESPONSE_MAX_BYTES:
            self._sandbox.finish(failure=too_large())
        else:
            self._sandbox.finish(failure=Failure(request.body, "error", error_type))
        return True

    def init_error(self, body: bytes, error_type: str) -> None:
        """`/init/error`: the module cannot be loaded. Raises `InvalidStateTransition`."""
        sandbox = self._sandbox
        sandbox.state = after(sandbox.state, RuntimeCall.INIT_ERROR)
        if sandbox.invocation is not None:
            sandbox.finish(failure=Failure(body, "error", error_type))
            sandbox.reset()
        else:
            sandbox.init_failed(body, error_type)

    def _answered(self, request_id: bytes, call: RuntimeCall) -> RunningInvocation | None:
        sandbox = self._sandbox
        invocation = sandbox.invocation
        if not self.expected(request_id):
            if sandbox.state is not RuntimeState.RUNNING and (invocation is None or not invocation.delivered):
                after(sandbox.state, call)
            return None
        sandbox.state = after(sandbox.state, call)
        return invocation
