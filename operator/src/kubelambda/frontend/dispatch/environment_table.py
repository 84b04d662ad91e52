"""The environments of one dispatcher, by the numbers that placement gave them."""

from collections.abc import Mapping

from kubelambda.core.placement.placed_environment import PlacedEnvironment, Status
from kubelambda.frontend.cold_start.pod_deletion import PodDeletions
from kubelambda.frontend.cold_start.start import Started, Target
from kubelambda.frontend.dispatch.environment_handle import EnvironmentEvents, EnvironmentHandle

_FAREWELL_S = 3.0
"""For what comes after the function: SHUTDOWN of its extensions (§4.1.7)."""


class EnvironmentTable(dict[int, EnvironmentHandle]):
    """Handles by number. `deletions` take the pods of those that are dropped."""

    def __init__(self, events: EnvironmentEvents, deletions: PodDeletions, namespace: str) -> None:
        super().__init__()
        self._events = events
        self._deletions = deletions
        self._namespace = namespace

    def keep(self, number: int, started: Started, target: Target) -> None:
        """An environment was started for `target`, or adopted."""
        timeout = float(target.configuration.timeout)
        self[number] = EnvironmentHandle(
            number, started.pod, started.uid, started.token, timeout, self._events, started.connection
        )

    def of_pod(self, uid: str) -> list[EnvironmentHandle]:
        """The environment of a pod, if it is one of these."""
        return [found for found in self.values() if found.uid == uid]

    def check(self, now: float) -> None:
        """Ends those whose answer is overdue."""
        for found in list(self.values()):
            found.check(now)

    def running(self, placed: Mapping[int, PlacedEnvironment]) -> dict[int, str | None]:
        """The request that each environment runs, by the ledger.

        Not of those that run something for a former owner, nor of those whose answer is on its way to a caller who
        may be slower than they are.
        """
        return {
            number: found.invocation.id if found.invocation else None
            for number, found in self.items()
            if not found.streaming
            and (found.invocation is not None or (number in placed and placed[number].status is Status.IDLE))
        }

    @property
    def settling(self) -> int:
        """How many have answered and are not free yet. Whoever asks them next is told so by themselves."""
        return sum(found.settling for found in self.values())

    def let_go(self, number: int) -> None:
        """The environment is somebody else's now, and stays."""
        if (found := self.pop(number, None)) is not None:
            found.close()

    def give_up(self, environment: EnvironmentHandle, *, refused: bool) -> None:
        """It is of no use any more. `refused`: it took nothing, and may be a new owner's, who must not lose its pod.

        Where it can be reached it is let go then, and whoever owns the function asks it what it is; else its pod goes.
        """
        if refused and environment.connection is not None and environment.connection.ready:
            self.let_go(environment.id)
        else:
            self.drop(environment, environment.timeout)

    def drop(self, environment: EnvironmentHandle, grace_seconds: float) -> None:
        """The pod goes, once it has finished what it runs or `grace_seconds` are over."""
        self.pop(environment.id, None)
        environment.close()
        grace_seconds += _FAREWELL_S if grace_seconds else 0
        self._deletions.soon(self._namespace, environment.pod, environment.uid, grace_seconds)

    def close(self) -> None:
        """The process ends: lets go of every connection; the environments stay."""
        for found in self.values():
            found.close()
