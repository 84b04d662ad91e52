"""What a start is about: for which function, what it tells of itself, and how it can end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kubelambda.api.environment_protocol import InitializationType
from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.wire.client import ClientConnection


class NotStarted(Exception):
    """No environment came of it; worth another try."""


class Taken(NotStarted):
    """Another frontend has claimed the pod."""


class TooSmall(NotStarted):
    """The pod cannot be made large enough for its function."""


@dataclass(frozen=True, slots=True)
class InitFailure:
    """An INIT that failed: what the runtime said of it, as JSON has it, and the end of its log, if that is known."""

    error: Any
    log: bytes = b""

    def __str__(self) -> str:
        return str(self.error)


type FailureAnswer = InitFailure | InvokeError
"""What a caller gets whose environment cannot start: of its INIT, or a Lambda error."""


class StartFailed(Exception):
    """No environment can come of it as the function is: one caller gets `answer`, and the next start is not at once."""

    def __init__(self, answer: FailureAnswer) -> None:
        super().__init__(str(answer))
        self.answer = answer


@dataclass(slots=True)
class Target:
    """The version of a function that an environment is for, and why it is started. Nobody changes one.

    Every invocation has one, and making frozen ones takes three times as long.
    """

    namespace: str
    name: str
    uid: str
    account: str
    configuration: DeployedConfiguration
    initialization_type: InitializationType = "on-demand"
    term: str = ""
    """Names the time in which one frontend owns the version: environments refuse leases of any other."""


@dataclass(slots=True)
class Started:
    """An environment that waits for its first invocation."""

    pod: str
    uid: str
    token: str
    connection: ClientConnection


@dataclass(frozen=True, slots=True)
class Watcher:
    """What a start tells to whoever asked for it."""

    begin: Callable[[], bool]
    """Called when a pod is about to be taken or made: False when nobody waits for it any more. Raises `StartFailed`."""
    lost: Callable[[bool], None]
    """The connection ended."""
    claim_lost: Callable[[], None]
    """The pod is not ours after all."""
    misplaced: Callable[[], None]
    """The pod runs on, but its node does not give it its size."""
