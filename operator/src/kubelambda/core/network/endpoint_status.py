"""The status of an InvokeEndpoint out of what was observed: pure."""

from dataclasses import dataclass
from datetime import datetime

from kubelambda.api.conditions import Fact, conditions_of, merge
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
    served: Fact = ("Ready", "True", Reason.SERVED, f"functions can be invoked at http://{dns_name}")
    told = [served] if problem is None else problem.facts
    conditions = conditions_of(told, now, generation=observed.generation)
    return InvokeEndpointStatus(
        observed_generation=observed.generation,
        address=observed.address,
        dns_name=dns_name if observed.address else None,
        frontend_port=observed.port,
        conditions=merge(before.conditions, conditions),
    )
