"""Leases of warm environments, as the frontend sees them that holds them: pure, with time passed in.

It begins an invocation on one only while the lease holds and has requests left, one at a time; and it gives a lease
back when nobody calls any more, when its time is over, when another frontend owns the account, and when it is asked to.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from kubelambda.core.placement.lease_use import LeaseUse

IDLE_S = 0.3
"""A lease that was not used for so long is given back."""
EARLY_S = 5.0
"""How long it is remembered that a lease was called back which is still on its way here."""


class LeasedFunction(NamedTuple):
    """What the environment of a lease runs: a version of a function in one revision."""

    namespace: str
    name: str
    uid: str
    version: str
    revision: str
    qualifier: str = ""
    """The only qualifier that it runs, where that has provisioned concurrency."""


@dataclass(slots=True, eq=False)
class HeldLease:
    """The right to run invocations in one environment, one after the other, until `until` or for so many `requests`."""

    id: str
    owner: str
    """Address of the frontend that granted it."""
    term: str
    """The owner's time of ownership: an environment that has another owner since refuses it."""
    function: LeasedFunction
    pod: str
    uid: str
    until: float
    requests: int
    since: float
    """When it became idle."""
    connected: bool = False
    used: int = 0
    busy: bool = False
    recalled: bool = False
    began: float = 0.0
    """When its present invocation began."""
    busy_s: float = 0.0

    @property
    def use(self) -> LeaseUse:
        """What its owner is told when it comes back. How long it ran is of interest where it is provisioned."""
        return LeaseUse(self.used, round(1000 * self.busy_s) if self.function.qualifier else 0)


@dataclass(frozen=True, slots=True)
class Recalled:
    """What becomes of leases that were called back."""

    returned: list[HeldLease]
    """Idle ones: they are gone from here."""
    kept: list[HeldLease]
    recalled: bool
    """Whether those that are kept come back as soon as their invocation ends."""
    missing: list[str]
    """They have not come here yet, or are gone."""


@dataclass(slots=True)
class HeldLeases:
    """Every lease of one frontend."""

    leases: dict[str, HeldLease] = field(default_factory=dict)
    _idle: defaultdict[LeasedFunction, list[HeldLease]] = field(default_factory=lambda: defaultdict(list))
    """Used last at the end: what is not needed becomes old, and is given back."""
    _early: dict[str, float] = field(default_factory=dict)

    def add(self, lease: HeldLease, now: float) -> bool:
        """A lease was granted. False when it is to be given back at once: it was called back before it came."""
        if self._early.pop(lease.id, None) is not None or now >= lease.until:
            return False
        self.leases[lease.id] = lease
        self._idle[lease.function].append(lease)
        return True

    def take(self, function: LeasedFunction, owner: str, now: float) -> HeldLease | None:
        """An environment for an invocation of `function`, whose account `owner` owns; `done` follows.

        One without a connection is taken last: that comes sooner than an answer of the owner, who misses it there.
        """
        found: HeldLease | None = None
        for lease in reversed(self._idle.get(function, ())):
            if lease.owner == owner and now < lease.until and lease.used < lease.requests:
                found = lease
                if lease.connected:
                    break
        if found is not None:
            self._idle[function].remove(found)
            found.busy, found.began = True, now
            found.used += 1
        return found

    def done(self, lease: HeldLease, now: float, *, usable: bool = True) -> bool:
        """An invocation ended. False when the lease ended with it: it is given back before the caller is answered.

        Whoever has its answer may call again at once, elsewhere, and must find the concurrency free.
        """
        lease.busy = False
        lease.busy_s += now - lease.began
        if not usable or lease.recalled or now >= lease.until:
            self.leases.pop(lease.id, None)
            return False
        lease.since = now
        self._idle[lease.function].append(lease)
        return True

    def recall(self, ids: Iterable[str], wanted: int | None, now: float) -> Recalled:
        """Gives back idle ones of `ids`, all or `wanted`; and the others as they end, where those are too few."""
        found, missing = [], []
        for name in ids:
            lease = self.leases.get(name)
            if lease is not None:
                found.append(lease)
            else:
                missing.append(name)
        idle = sorted((lease for lease in found if not lease.busy), key=lambda lease: lease.since)[:wanted]
        for lease in idle:
            self.drop(lease)
        kept = [lease for lease in found if lease not in idle]
        enough = wanted is not None and len(idle) >= wanted
        if not enough:
            for lease in kept:
                lease.recalled = True
        if not enough:
            self._early.update(dict.fromkeys(missing, now))
        return Recalled(idle, kept, not enough, missing)

    def over(self, now: float, owner_of: Callable[[str], str | None]) -> list[HeldLease]:
        """Idle leases to give back: unused for long, used up, or not of the account's present owner. They are gone."""
        self._early = {name: since for name, since in self._early.items() if now - since < EARLY_S}
        found = [
            lease
            for idle in self._idle.values()
            for lease in idle
            if now - lease.since > IDLE_S
            or now >= lease.until
            or (lease.used >= lease.requests)
            or owner_of(lease.function.namespace) != lease.owner
        ]
        for lease in found:
            self.drop(lease)
        return found

    def used_up(self, owner: str, function: LeasedFunction, now: float) -> list[HeldLease]:
        """Idle leases of a function that go back with its next request to `owner`, which may bring a new one."""
        found = [
            lease
            for lease in self._idle.get(function, ())
            if lease.owner == owner and (now >= lease.until or lease.used >= lease.requests)
        ]
        for lease in found:
            self.drop(lease)
        return found

    def all_idle(self) -> list[HeldLease]:
        """Every lease that is not in use, to give back. They are gone."""
        found = [lease for idle in self._idle.values() for lease in idle]
        for lease in found:
            self.drop(lease)
        return found

    def drop(self, lease: HeldLease) -> None:
        """A lease is over."""
        self.leases.pop(lease.id, None)
        idle = self._idle.get(lease.function)
        if idle is not None and lease in idle:
            idle.remove(lease)
        if not idle:
            self._idle.pop(lease.function, None)

    def busy(self) -> dict[LeasedFunction, int]:
        """Invocations that run on leases, by function."""
        found: defaultdict[LeasedFunction, int] = defaultdict(int)
        for lease in self.leases.values():
            if lease.busy:
                found[lease.function] += 1
        return found
