"""The status of a Runtime out of its functions and pools: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kubelambda.api import labels
from kubelambda.api.conditions import ConditionStatus, conditions_of, merge
from kubelambda.api.kinds.runtime import RuntimeStatus
from kubelambda.api.reasons import Reason

_NAMED_POOLS = 3


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """What a pool's Deployment reports."""

    namespace: str
    idle: int
    failing: str | None = None
    """Why its environments do not start."""
    has_pods: bool = False
    """Whether their pods are there, and the kubelet knows more of it."""

    def where(self, runtime: str) -> str:
        """The command that shows more of why they do not start."""
        kind = "pods" if self.has_pods else "deployments"
        selector = f"{labels.POOL},{labels.RUNTIME}={runtime}"
        return f"See why: kubectl describe {kind} --namespace {self.namespace} --selector {selector}"

    def failure(self, runtime: str) -> "PoolFailure | None":
        """What that means for functions."""
        if not self.failing:
            return None
        said = self.failing if self.has_pods else "the cluster refuses their pods."
        text = f"environments of Runtime {runtime} do not start: {said} {self.where(runtime)}"
        return PoolFailure(text, exhausted=self.has_pods and not self.idle)


@dataclass(frozen=True, slots=True)
class PoolFailure:
    """Why a pool does not fill, in words that stay the same while it does not."""

    message: str
    exhausted: bool
    """Whether it has pods, and none that is ready. That no more are allowed is usual while others are at work."""


def decide(
    *, name: str, generation: int, before: RuntimeStatus, functions: int, pools: Sequence[PoolFacts], now: datetime
) -> RuntimeStatus:
    """The status to report."""
    failing = sorted((pool for pool in pools if pool.failing), key=lambda pool: pool.namespace)
    ready: tuple[ConditionStatus, Reason, str] = ("True", Reason.AVAILABLE, "functions can use this runtime")
    if failing:
        first = failing[0]
        more = f" and {len(failing) - _NAMED_POOLS} more" if len(failing) > _NAMED_POOLS else ""
        names = ", ".join(pool.namespace for pool in failing[:_NAMED_POOLS]) + more
        text = f"environments do not start in {names}: {first.failing}"
        ready = ("False", Reason.POOL_FAILING, f"{text} {first.where(name)}" if first.has_pods else text)
    return RuntimeStatus(
        observed_generation=generation,
        functions=functions,
        pools=len(pools),
        idle=sum(pool.idle for pool in pools),
        conditions=merge(before.conditions, conditions_of([("Ready", *ready)], now, generation=generation)),
    )
