"""The shape of an environment: whatever its pod cannot change once it is made, and so which pool can serve it. Pure.

Everything else (code, variables, memory, CPU) comes with the claim.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from kubelambda.api import limits

type Pairs = tuple[tuple[str, str], ...]
"""A mapping that can be compared and hashed: sorted pairs."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a function needs of its pod. The defaults are a pool pod's: what the Runtime and the settings say."""

    ephemeral_storage_mb: int = limits.EPHEMERAL_STORAGE_MIN_MB
    """Size of /tmp."""
    image: str = ""
    """The function's own image."""
    volumes: tuple[str, ...] = ()
    """What is mounted: claim, folder of it, where, and as whom."""
    node_selector: Pairs = ()
    """Where it may run."""
    network: str = ""
    """The closed network that it lives in."""
    service_account: str = ""
    """Whose credentials it carries."""
    runtime_class: str = ""
    """The sandbox of its container."""

    @property
    def generic(self) -> bool:
        """Whether every pod of its runtime's pool has this shape."""
        return self == GENERIC

    @property
    def id(self) -> str:
        """A short name of the shape, the same on every frontend; empty for the generic one."""
        return "" if self.generic else hashlib.sha256(repr(self).encode()).hexdigest()[:10]


GENERIC = Shape()


class PodSource(Enum):
    """Where a start takes its pod from."""

    POOL = "pool"
    """A pool pod where there is one, else one of its own."""
    OWN = "own"
    """One of its own: no pool has its shape."""


@dataclass(frozen=True, slots=True)
class StartPlan:
    """How an environment comes to be."""

    shape: Shape
    source: PodSource
    enlarge_first: bool
    """Whether a pool pod has to get the function's size before anything runs in it: its own limit is too small."""


def function_shape(ephemeral_storage_mb: int, *, closed: bool = False, volumes: Iterable[str] = ()) -> Shape:
    """The shape of a function with so much /tmp (no pool pod has less than the least), in a closed network or not.

    All closed networks are one shape: pods are born closed, and the claim says what opens.
    """
    storage = max(ephemeral_storage_mb, limits.EPHEMERAL_STORAGE_MIN_MB)
    return Shape(ephemeral_storage_mb=storage, network="closed" if closed else "", volumes=tuple(volumes))


def start_plan(shape: Shape, memory_mb: int, pool_limit_mb: int, *, own_pod: bool = False) -> StartPlan:
    """The plan for a function that needs `memory_mb` in all; pool pods may use `pool_limit_mb`.

    `own_pod` says that a pool pod was tried and did not do.
    """
    source = PodSource.POOL if shape.generic and not own_pod else PodSource.OWN
    return StartPlan(shape, source, enlarge_first=source is PodSource.POOL and memory_mb > pool_limit_mb)
