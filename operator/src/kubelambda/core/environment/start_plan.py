"""How an environment comes to be: from which pool, or as a pod of its own, and what has to come first. Pure."""

from dataclasses import dataclass
from enum import Enum

from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.core.environment.pool_identity import PoolIdentity
from kubelambda.core.environment.shape import configured_shape


class PodSource(Enum):
    """Where a start takes its pod from."""

    POOL = "pool"
    """A pool pod where there is one, else one of its own."""
    OWN = "own"
    """One of its own: a pool pod was tried and did not do."""


@dataclass(frozen=True, slots=True)
class StartPlan:
    """What a start does."""

    pool: PoolIdentity
    """The pool whose pods have the function's shape."""
    source: PodSource
    enlarge_first: bool
    """Whether a pool pod has to get the function's size before anything runs in it: its own limit is too small."""

    def claim_first(self, *, is_open: bool) -> bool:
        """Whether Kubernetes has to know of the claim before anything runs: it gives the pod its size, or opens it.

        `is_open`: the pod has the function's network already.
        """
        return self.enlarge_first or (self.pool.shape.closed and not is_open)


def start_plan(
    configuration: DeployedConfiguration, *, overhead_mb: int, pool_limit_mb: int, own_pod: bool = False
) -> StartPlan:
    """The plan for a function. Pool pods may use `pool_limit_mb`; a function needs `overhead_mb` besides its own.

    `own_pod` says that a pool pod was tried and did not do.
    """
    source = PodSource.OWN if own_pod else PodSource.POOL
    enlarge_first = source is PodSource.POOL and configuration.memory_size + overhead_mb > pool_limit_mb
    return StartPlan(PoolIdentity(configuration.runtime, configured_shape(configuration)), source, enlarge_first)
