"""Whether the ledger agrees with itself and with the agents on what runs where (DESIGN §5, rule 5): pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kubelambda.core.account.ledger import Account
from kubelambda.core.placement.function_share import FunctionShare, Unit, UnitSource
from kubelambda.core.placement.placement import VersionPlacement


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


def ledger_drift(account: Account, versions: Iterable[VersionPlacement]) -> int:
    """Units of concurrency by which an account's ledger is off from what its versions run and have waiting."""
    drift, unreserved = 0, 0
    held: defaultdict[int, list[Unit]] = defaultdict(list)
    shares: dict[int, FunctionShare] = {}
    for version in versions:
        units = _units(version)
        drift += abs(version.in_flight - len(units))
        shares[id(version.share)] = version.share
        held[id(version.share)] += units
    for key, share in shares.items():
        units = held[key]
        unreserved += sum(unit.source is UnitSource.UNRESERVED for unit in units)
        provisioned = Counter(unit.qualifier for unit in units if unit.source is UnitSource.PROVISIONED)
        drift += abs(share.in_flight - len(units))
        drift += abs(share.on_demand_in_flight - (len(units) - provisioned.total()))
        drift += sum(abs(found.in_flight - provisioned[name]) for name, found in share.provisioned.items())
    return drift + abs(account.unreserved_in_flight - unreserved)


def _units(version: VersionPlacement) -> list[Unit]:
    """What a version's requests hold: one unit for each environment that is busy and each request that waits."""
    busy = [found.unit for found in version.environments.values() if found.unit is not None]
    return busy + [waiting.unit for waiting in version.waiting]
