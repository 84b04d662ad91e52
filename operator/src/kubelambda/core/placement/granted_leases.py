"""Leases of warm environments, as the owner of an account grants them: pure, with time passed in.

A lease is an invocation whose end its holder decides. Its environment is busy here and its unit in flight from the
grant to the end of the lease, whatever the holder does meanwhile: so no limit is exceeded, and none needs to know of
leases. What that leaves to do is to call leases back before they keep anybody from what the account has (`in_the_way`),
and to learn what became of one that its holder does not give back (`lapsed`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import inf

from kubelambda.core.account.ledger import Account
from kubelambda.core.account.token_bucket import TokenBucket
from kubelambda.core.placement.function_share import (
    FunctionShare,
    ProvisionedShare,
    ThrottleReason,
    Unit,
    UnitSource,
)
from kubelambda.core.placement.lease_use import LeaseUse
from kubelambda.core.placement.placed_environment import PlacedEnvironment, Status
from kubelambda.core.placement.placement import VersionPlacement

LEASE_S = 2.0
"""How long a holder may begin invocations. There is no renewal: its next forwarded request may bring another lease."""
MARGIN_S = 1.0
"""What a request of the holder may need to its environment: only after it the environment's word on itself is final."""
REQUESTS_MAX = 64
"""Invocations of one lease at most: they are taken out of the request rate in advance."""
REQUESTS_MIN = 4
"""A lease for fewer is not worth its messages."""
KEEPS_FORWARDING_S = 0.5
"""Who forwarded a request so short a time ago does it often enough."""
PAUSE_S = 1.0
"""How long none are granted where one was in the way."""
WORTH = 3
"""A lease that ran fewer invocations before it was called back cost more than it saved."""


class LeaseState(Enum):
    """Where a lease is, as far as its owner knows."""

    HELD = "held"
    ASKED = "asked"
    """Its holder was asked to give it back, and has not answered yet."""
    RECALLED = "recalled"
    """It comes back once its present invocation ends, or lapses."""
    LAPSED = "lapsed"
    """Its time is over, and its environment is asked whether it still runs something."""


@dataclass(slots=True, eq=False)
class GrantedLease:
    """One environment in the hands of another frontend. `until` is when its holder stops to begin invocations."""

    id: str
    holder: str
    version: VersionPlacement
    environment: int
    until: float
    bucket: TokenBucket
    requests: int
    """Invocations that were taken out of the rate for it, as far as they are not accounted for."""
    since: float
    qualifier: str = ""
    """The qualifier that its environment is provisioned for: its holder runs no others there."""
    state: LeaseState = LeaseState.HELD
    provisioned: ProvisionedShare | None = None
    """Where what it executes is counted, as far as that is not settled; None when on demand."""
    use: float = 1.0
    """Share of its time that it seemed to be used for when it was lent."""

    @property
    def unit(self) -> Unit | None:
        """What it holds of the function's concurrency; None when its environment is gone."""
        found = self.version.environments.get(self.environment)
        return found.unit if found is not None else None

    def settle(self, used: int) -> None:
        """Gives the requests back that it did not use."""
        requests, self.requests = self.requests, 0
        self.bucket.settle(requests, min(used, requests))

    def executed(self, busy_s: float, now: float) -> None:
        """How long it executed something."""
        share, self.provisioned = self.provisioned, None
        if share is not None:
            lent_s = now - self.since
            share.settle(self.use, lent_s, min(busy_s, lent_s), now)


type Scope = VersionPlacement | FunctionShare | Account


@dataclass(slots=True)
class GrantedLeases:
    """Every lease of the accounts that a frontend owns. `prefix` makes their ids different from those of all others."""

    prefix: str
    leases: dict[str, GrantedLease] = field(default_factory=dict)
    _held: dict[str, GrantedLease] = field(default_factory=dict)
    _forwarded: dict[tuple[str, int], tuple[VersionPlacement, float]] = field(default_factory=dict)
    _paused: dict[int, tuple[Scope, float]] = field(default_factory=dict)
    _last: int = 0

    # -- granting ---------------------------------------------------------------------------------------------------

    def forwarded(self, version: VersionPlacement, holder: str, now: float) -> bool:
        """A frontend has forwarded a request to a version. Whether it keeps doing so."""
        key = (holder, id(version))
        found = self._forwarded.get(key)
        self._forwarded[key] = (version, now)
        return found is not None and now - found[1] <= KEEPS_FORWARDING_S

    def grant(
        self, version: VersionPlacement, environment: int, holder: str, now: float, qualifier: str = ""
    ) -> GrantedLease | None:
        """Leaves an environment that has just finished an invocation to `holder`, with the unit of that invocation.

        `qualifier`: what its caller named. Until `end` or `forget` it is as busy as before. None when it is needed
        here, or was lately.
        """
        found, share = version.environments.get(environment), version.share
        if found is None or version.waiting or self._is_paused(share, now) or not _leasable(found, version, qualifier):
            return None
        provisioned = share.provisioned[qualifier] if found.provisioned else None
        # What exceeds the rate of the provisioned concurrency is taken from the rate of what runs on demand.
        for bucket in (provisioned.requests, share.request_bucket) if provisioned else (share.request_bucket,):
            requests = bucket.lend(REQUESTS_MAX, REQUESTS_MIN, now)
            if requests:
                break
        else:
            return None
        self._last += 1
        name, until = f"{self.prefix}.{self._last}", now + LEASE_S
        lease = GrantedLease(name, holder, version, environment, until, bucket, requests, now, found.provisioned)
        if provisioned is not None:
            lease.provisioned, lease.use = provisioned, provisioned.lease_use
            provisioned.lend(lease.use, now)
        self.leases[lease.id] = self._held[lease.id] = lease
        return lease

    def pause(self, scope: Scope, now: float) -> None:
        """Grants nothing there for a while."""
        self._paused[id(scope)] = (scope, now + PAUSE_S)

    def _is_paused(self, share: FunctionShare, now: float) -> bool:
        if not self._paused:
            return False
        ends = [self._paused[id(scope)][1] for scope in (share, share.account) if id(scope) in self._paused]
        return any(end > now for end in ends)

    # -- calling back -----------------------------------------------------------------------------------------------

    def in_the_way(self, version: VersionPlacement, reason: ThrottleReason | None = None) -> list[GrantedLease]:
        """Leases that may keep a request of `version` from being served, of which it is not known yet what they do.

        `reason` is the limit that it met; None when it only lacks an environment.
        """
        if not self._held:
            return []
        return [lease for lease in self._held.values() if _concerns(lease, version, reason)]

    def before_spilling(self, version: VersionPlacement, qualifier: str) -> list[GrantedLease]:
        """Leases for whose units a request of `qualifier` would run on demand: of any version, while an alias moves."""
        provisioned = version.share.provisioned.get(qualifier)
        if provisioned is None or provisioned.free or not self._held:
            return []
        return [
            lease
            for lease in self._held.values()
            if lease.qualifier == qualifier and lease.version.share is version.share
        ]

    def of(self, version: VersionPlacement) -> list[GrantedLease]:
        """Every lease of a version."""
        return [lease for lease in self.leases.values() if lease.version is version]

    def ask(self, leases: Iterable[GrantedLease]) -> Mapping[str, list[str]]:
        """Their holders are asked to give them back: ids by holder, of those that were not asked before."""
        asked: defaultdict[str, list[str]] = defaultdict(list)
        for lease in leases:
            if lease.state is LeaseState.HELD:
                lease.state = LeaseState.ASKED
                asked[lease.holder].append(lease.id)
        return asked

    def kept(self, used: Mapping[str, LeaseUse], now: float, *, recalled: bool) -> None:
        """What their holder says of leases that it was asked for and does not give back now.

        `recalled`: each comes back when its present invocation ends, and begins no other: its requests are settled.
        """
        for name, count in used.items():
            lease = self.leases.get(name)
            if lease is None or lease.state is not LeaseState.ASKED:
                continue
            if recalled:
                self.pause(lease.version.share, now)
                lease.settle(count.invocations)
                self._no_longer_held(lease, LeaseState.RECALLED)
            else:
                lease.state = LeaseState.HELD

    def unanswered(self, ids: Iterable[str]) -> None:
        """Their holder did not answer. It may hold them or not: nobody knows before they lapse."""
        for name in ids:
            lease = self.leases.get(name)
            if lease is not None and lease.state is LeaseState.ASKED:
                self._no_longer_held(lease, LeaseState.RECALLED)

    # -- ending -----------------------------------------------------------------------------------------------------

    def end(self, name: str, used: LeaseUse, now: float) -> GrantedLease | None:
        """A lease was given back after it was `used`: its environment may be freed.

        None when it is not known any more, or when its environment is being asked already, and freed by its own word.
        """
        lease = self.leases.get(name)
        if lease is None:
            return None
        lease.settle(used.invocations)
        lease.executed(used.busy_s, now)
        if lease.state is LeaseState.LAPSED:
            return None
        if lease.state is not LeaseState.HELD and used.invocations < WORTH:
            self.pause(lease.version.share, now)
        self.forget(lease, now)
        return lease

    def lapsed(self, now: float) -> list[GrantedLease]:
        """Leases whose time is over since the last look: their environments say themselves whether they are free."""
        found = [
            lease
            for lease in self.leases.values()
            if lease.state is not LeaseState.LAPSED and now > lease.until + MARGIN_S
        ]
        for lease in found:
            lease.settle(lease.requests)
            lease.executed(inf, now)
            self._no_longer_held(lease, LeaseState.LAPSED)
        self._forwarded = {
            key: (version, last) for key, (version, last) in self._forwarded.items() if now - last <= KEEPS_FORWARDING_S
        }
        self._paused = {key: (scope, end) for key, (scope, end) in self._paused.items() if end > now}
        return found

    def forget(self, lease: GrantedLease, now: float) -> None:
        """A lease is over. What is not known of it counts as used."""
        lease.settle(lease.requests)
        lease.executed(inf, now)
        self.leases.pop(lease.id, None)
        self._held.pop(lease.id, None)

    def _no_longer_held(self, lease: GrantedLease, state: LeaseState) -> None:
        lease.state = state
        self._held.pop(lease.id, None)


def _leasable(found: PlacedEnvironment, version: VersionPlacement, qualifier: str) -> bool:
    """Whether an environment has just run an invocation of the kind that it is for, and would take another."""
    unit = found.unit
    if found.status is not Status.BUSY or unit is None or found.retiring or found.id in version.misplaced:
        return False
    if found.provisioned:  # one that is about to be let go of is not lent
        return found.provisioned == qualifier == unit.qualifier and qualifier not in version.kept
    plain = unit.source is not UnitSource.PROVISIONED and qualifier not in version.share.provisioned
    return plain and found.revision == version.revision


def _concerns(lease: GrantedLease, version: VersionPlacement, reason: ThrottleReason | None) -> bool:
    if lease.version is version:
        # For want of an environment: one that is provisioned takes invocations of its qualifier alone.
        wanted = (waiting.qualifier for waiting in version.waiting)
        return reason is not None or not lease.qualifier or lease.qualifier in wanted
    share = version.share
    if reason in (ThrottleReason.RESERVED, ThrottleReason.RESERVED_RATE):
        return lease.version.share is share
    if reason in (ThrottleReason.ACCOUNT, ThrottleReason.RATE):
        return lease.bucket is share.account.requests
    return False
