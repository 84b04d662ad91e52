"""An environment and a waiting request, as placement sees them."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from kubelambda.core.placement.function_share import Unit


class Status(Enum):
    """What an environment does."""

    REQUESTED = "requested"
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"


@dataclass(slots=True)
class PlacedEnvironment:
    """An environment as placement sees it. `since` is when it became idle, `unit` what its invocation holds."""

    id: int
    revision: str
    status: Status
    since: float
    provisioned: str = ""
    """The alias or version number that it is kept for, and takes invocations of alone; empty when on demand."""
    born: float = 0.0
    unit: Unit | None = None
    retiring: str = ""
    released: bool = False
    """Whether it is one too many: idle until it ends."""
    doubted: bool = False
    """Whether nobody knows if its node is still there: idle, and given nothing until that is known."""


@dataclass(slots=True)
class Waiting:
    """A request that waits for an environment."""

    request: Any
    arrived: float
    qualifier: str
    unit: Unit
