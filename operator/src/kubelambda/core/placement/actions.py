"""What placement decides, for its dispatcher to carry out. Nobody changes an action.

Every invocation has one, and making frozen ones takes three times as long.
"""

from dataclasses import dataclass
from typing import Any

from kubelambda.core.placement.function_share import ThrottleReason


@dataclass(slots=True)
class Dispatch:
    """Send the request to the environment."""

    request: Any
    environment: int


@dataclass(slots=True)
class Throttle:
    """Answer 429."""

    request: Any
    reason: ThrottleReason


@dataclass(slots=True)
class Fail:
    """Answer with the failure of an initialization, once."""

    request: Any
    failure: Any


@dataclass(slots=True)
class Start:
    """Start an environment of the present revision, `own_pod` when none out of a pool will do."""

    environment: int
    own_pod: bool = False


@dataclass(slots=True)
class Cancel:
    """Forget a start that has not begun: nobody waits for it any more."""

    environment: int


@dataclass(slots=True)
class Retire:
    """End an environment that runs nothing."""

    environment: int
    why: str


@dataclass(slots=True)
class Release:
    """A provisioned environment takes nothing more: it may end first. With `again` it takes invocations after all."""

    environment: int
    again: bool = False


type Action = Dispatch | Throttle | Fail | Start | Cancel | Retire | Release
