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
        if first.has_pods:
            selector = f"{labels.POOL},{labels.RUNTIME}={name}"
            text += f" See why: kubectl describe pods --namespace {first.namespace} --selector {selector}"
        ready = ("False", Reason.POOL_FAILING, text)
    return RuntimeStatus(
        observed_generation=generation,
        functions=functions,
        pools=len(pools),
        idle=sum(pool.idle for pool in pools),
        conditions=merge(before.conditions, conditions_of([("Ready", *ready)], now, generation=generation)),
    )
