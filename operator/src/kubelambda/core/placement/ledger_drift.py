"""Whether the ledger agrees with itself and with the agents on what runs where (DESIGN §5, rule 5): pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kubelambda.core.account.ledger import Account
from kubelambda.core.placement.placement import FunctionPlacement, Status


@dataclass(frozen=True, slots=True)
class Look:
    """The request that one environment runs: by the ledger, before and after its agent was asked, and by the agent."""

    before: str | None
    agent: str | None
    after: str | None

    @property
    def disagrees(self) -> bool:
        """Whether the two differ though nothing changed in the meantime."""
        return self.before == self.after != self.agent


def drifted[E](first: Mapping[E, Look], second: Mapping[E, Look]) -> list[E]:
    """Environments that disagree in the same way in two looks, a second or more apart.

    Once is no proof: the request may have been on its way to the agent, or its answer on the way back.
    """
    return [environment for environment, look in second.items() if look.disagrees and first.get(environment) == look]


def ledger_drift(account: Account, functions: Iterable[FunctionPlacement]) -> int:
    """Units of concurrency by which an account's ledger is off from what its functions run and have waiting."""
    drift, shared = 0, 0
    for function in functions:
        busy = sum(found.status is Status.BUSY for found in function.environments.values())
        drift += abs(function.in_flight - busy - len(function.waiting))
        shared += function.shared_in_flight
    return drift + abs(account.unreserved_in_flight - shared)
