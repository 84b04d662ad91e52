"""What functions want of the idle environments of pools, so that these have it before the next one asks; pure."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from typing import Final

from kubelambda.core.pool.pool_size import PoolDemand, PoolRange

_RANGE: Final = PoolRange(0, 1000)

type Pool = tuple[str, str]
"""Its namespace, and its id."""


class DemandAhead[Kind: Hashable, What]:
    """Counts claims by pool and kind, and keeps what a kind means. Times are seconds on a steady clock."""

    def __init__(self) -> None:
        self._demand: defaultdict[Pool, dict[Kind, PoolDemand]] = defaultdict(dict)
        self._what: dict[Kind, What] = {}

    def claimed(self, pool: Pool, kind: Kind, what: What, now: float) -> None:
        """A function wanted an environment of a kind out of a pool, whether or not there was one."""
        self._what[kind] = what
        self._demand[pool].setdefault(kind, PoolDemand()).claimed(now)

    def what(self, kind: Kind) -> What:
        """What was said last of a kind that somebody wants. Raises `KeyError` for another."""
        return self._what[kind]

    def wanted(self, now: float) -> Iterator[tuple[Pool, Mapping[Kind, int]]]:
        """Pools, and how many environments of each kind functions take while they are refilled.

        What nobody wants any more is named once, with 0, and forgotten.
        """
        for pool, demand in list(self._demand.items()):
            wanted = {kind: each.wanted(_RANGE, now) for kind, each in demand.items()}
            for kind in [kind for kind, count in wanted.items() if not count]:
                del demand[kind]
            if demand:
                yield pool, wanted
            else:
                del self._demand[pool]
        known = {kind for demand in self._demand.values() for kind in demand}
        self._what = {kind: what for kind, what in self._what.items() if kind in known}
