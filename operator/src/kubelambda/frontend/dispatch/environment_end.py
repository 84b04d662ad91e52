"""How an environment can end while a frontend relies on it."""

from dataclasses import dataclass
from enum import Enum


class EndCause(Enum):
    """What a frontend saw of the end."""

    CLOSED = "closed"
    """The connection ended: so did the agent, its node, or the way there."""
    OVERDUE = "overdue"
    """No answer, long after the function's timeout."""
    SILENT = "silent"
    """It does not answer when asked how it is."""
    FORGOTTEN = "forgotten"
    """The agent does not run what it was given."""
    FAULTY = "faulty"
    """The agent's answer was none of the protocol's."""


@dataclass(frozen=True, slots=True)
class EnvironmentEnd:
    """The end of one environment; `text` is for the caller whose invocation it ran."""

    cause: EndCause
    text: str

    @property
    def may_be_pod(self) -> bool:
        """Whether kernel or node may have ended it for what it used, of which Kubernetes tells a moment later."""
        return self.cause is EndCause.CLOSED

    @property
    def may_be_node(self) -> bool:
        """Whether others on the same node may have ended in the same way, without a word."""
        return self.cause in (EndCause.CLOSED, EndCause.OVERDUE, EndCause.SILENT)


CLOSED = EnvironmentEnd(EndCause.CLOSED, "the environment ended before it answered")
OVERDUE = EnvironmentEnd(EndCause.OVERDUE, "the environment did not answer in time")
SILENT = EnvironmentEnd(EndCause.SILENT, "the environment cannot be reached any more")
FORGOTTEN = EnvironmentEnd(EndCause.FORGOTTEN, "the answer of the environment was lost")


def faulty(status: int) -> EnvironmentEnd:
    """The agent answered with a status that it should not."""
    return EnvironmentEnd(EndCause.FAULTY, f"the agent answered {status}")
