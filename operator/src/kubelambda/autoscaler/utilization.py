"""What a reader of utilization gives, whatever it reads from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from kubelambda.core.scaling.target_tracking import Sample

UTILIZATION = "kubelambda_provisioned_concurrency_utilization"
ALLOCATED = "kubelambda_provisioned_concurrency_allocated"
INVOCATIONS = "kubelambda_provisioned_invocations_total"


class ScalableTarget(NamedTuple):
    """A function and the qualifier, an alias or a version, that its provisioned concurrency belongs to."""

    namespace: str
    function: str
    qualifier: str


@dataclass(frozen=True, slots=True)
class Utilization:
    """Averages of the last periods, oldest first; a period in which nothing was invoked has none (§8.3)."""

    samples: Sequence[Sample] = ()
    allocated: float | None = None
    """Environments that the metrics speak of; None when they know nothing of the target."""


class UtilizationUnavailable(Exception):
    """The source cannot be read, or not be believed; the message says why."""


class UtilizationReader(Protocol):
    """Reads the utilization of every target at once."""

    async def read(self, now: float) -> Mapping[ScalableTarget, Utilization]:
        """Utilization as of `now`, in seconds since the epoch. Raises `UtilizationUnavailable`."""
        ...
