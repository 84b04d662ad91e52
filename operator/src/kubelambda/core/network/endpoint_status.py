"""The status of an InvokeEndpoint out of what was observed: pure."""

from dataclasses import dataclass
from datetime import datetime

from kubelambda.api.conditions import Condition, ConditionStatus, merge, timestamp
from kubelambda.api.kinds.invoke_endpoint import InvokeEndpointStatus
from kubelambda.api.reasons import Reason
from kubelambda.core.function.observation import Problem


@dataclass(frozen=True, slots=True)
class ObservedEndpoint:
    """What a status is made of."""

    name: str
    namespace: str
    generation: int
    port: int | None = None
    """Its port of the frontends; None while it is not served."""
    address: str | None = None
    problem: Problem | None = None


def decide_endpoint(observed: ObservedEndpoint, before: InvokeEndpointStatus, now: datetime) -> InvokeEndpointStatus:
    """The status to report."""
    problem, dns_name = observed.problem, f"{observed.name}.{observed.namespace}.svc"
    told: list[tuple[str, ConditionStatus, str, str]]
    if problem is None:
        told = [("Ready", "True", Reason.SERVED, f"functions can be invoked at http://{dns_name}")]
    else:
        kind = "Stalled" if problem.terminal else "Reconciling"
        told = [
            ("Ready", "False", problem.reason, problem.message),
            (kind, "True", problem.reason, problem.message),
        ]
    conditions = [
        Condition(
            type=kind,
            status=status,
            reason=reason,
            message=message[:1024],
            observed_generation=observed.generation,
            last_transition_time=timestamp(now),
        )
        for kind, status, reason, message in told
    ]
    return InvokeEndpointStatus(
        observed_generation=observed.generation,
        address=observed.address,
        dns_name=dns_name if observed.address else None,
        frontend_port=observed.port,
        conditions=merge(before.conditions, conditions),
    )
