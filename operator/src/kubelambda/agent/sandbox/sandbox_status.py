"""What an environment says of itself (`GET /state`)."""

from kubelambda.agent.sandbox.running_invocation import RunningInvocation
from kubelambda.api.environment_protocol import EnvironmentState, Specialization


def described(
    found: Specialization | None, invocation: RunningInvocation | None, settled: tuple[int, float]
) -> EnvironmentState:
    """The function, what runs, and what the last invocation came to that went on after its answer."""
    return EnvironmentState(
        specialized=found is not None,
        function_uid=found.uid if found else None,
        function=found.name if found else None,
        version=found.version if found else None,
        revision=found.revision if found else None,
        initialization_type=found.initialization_type if found else None,
        request_id=invocation.id.decode() if invocation else None,
        last_billed_ms=settled[0],
        last_extensions_ms=settled[1],
    )
