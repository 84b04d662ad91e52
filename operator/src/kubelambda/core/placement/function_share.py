"""What a function may use, over all its versions: units of concurrency, requests a second, new environments (§5).

Every request and every busy environment holds one `Unit`, and gives it back where it was taken from: whatever becomes
of a reservation or of provisioned concurrency in the meantime, no unit is lost and none is given back twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from kubelambda.api import limits
from kubelambda.core.account import token_bucket
from kubelambda.core.account.ledger import Account, request_rate
from kubelambda.core.account.token_bucket import TokenBucket


class ThrottleReason(Enum):
    """Why a request was throttled (§2.3.2)."""

    RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"
    ACCOUNT = "ConcurrentInvocationLimitExceeded"
    RESERVED_RATE = "ReservedFunctionInvocationRateLimitExceeded"
    RATE = "FunctionInvocationRateLimitExceeded"


class UnitSource(Enum):
    """Where a unit of concurrency was taken from."""

    RESERVED = "reserved"
    UNRESERVED = "unreserved"
    PROVISIONED = "provisioned"


@dataclass(frozen=True, slots=True)
class Unit:
    """The right to run one invocation. `qualifier` says whose provisioned concurrency it is of."""

    source: UnitSource
    qualifier: str = ""


_RESERVED = Unit(UnitSource.RESERVED)
_UNRESERVED = Unit(UnitSource.UNRESERVED)


@dataclass(slots=True)
class ProvisionedShare:
    """The provisioned concurrency of one alias or version: a part of the function's share that only it may use."""

    unit: Unit
    allocated: int
    requests: TokenBucket
    in_flight: int = 0
    lease_use: float = 1.0
    """Share of its time that a lease of a unit is used for, by the last one that came back."""
    _lent: float = 0.0
    """Units that are in flight and, as far as is known, execute nothing."""
    _busy_s: float = 0.0
    _counted: float = 0.0
    _looked: float = 0.0

    @property
    def free(self) -> bool:
        """Whether another invocation gets a unit."""
        return self.in_flight < self.allocated

    def count(self, change: int, now: float) -> None:
        """Units are taken or given back."""
        self._busy_s += (self.in_flight - self._lent) * max(0.0, now - self._counted)
        self._counted = max(self._counted, now)
        self.in_flight += change

    def lend(self, use: float, now: float) -> None:
        """A unit in flight goes out on a lease: it executes something for the share `use` of the time, it seems."""
        self.count(0, now)
        self._lent += 1.0 - use

    def settle(self, use: float, lent_s: float, busy_s: float, now: float) -> None:
        """What a lease of `lent_s` seconds was really used for; `use` as when it was lent."""
        self.count(0, now)
        self._lent -= 1.0 - use
        self._busy_s += busy_s - use * lent_s
        if lent_s > 0.0:
            self.lease_use = min(1.0, busy_s / lent_s)

    def executing(self, now: float) -> float:
        """Invocations in flight, on the average since the last look: a moment says little of short ones.

        What leases turn out to have executed beyond that, or less than it seemed, is left for the next looks.
        """
        self.count(0, now)
        passed = now - self._looked
        if passed <= 0:
            return float(self.in_flight)
        found = min(max(0.0, self._busy_s / passed), float(max(self.allocated, self.in_flight)))
        self._busy_s, self._looked = self._busy_s - found * passed, now
        return found


@dataclass(slots=True)
class FunctionShare:
    """What one function may use of its account. One for all of its versions."""

    account: Account
    name: str
    reserved: int | None
    scaling: TokenBucket
    _requests: TokenBucket
    provisioned: dict[str, ProvisionedShare] = field(default_factory=dict)
    """By alias or version number."""
    in_flight: int = 0
    on_demand_in_flight: int = 0
    provisioned_units: int = 0

    def admit(self, now: float, qualifier: str = "", *, rated: bool = False) -> Unit | ThrottleReason:
        """A unit for a request under `qualifier`, provisioned for it or on demand (§5.8); or why there is none.

        `rated`: it was counted against the request rate before.

        A provisioned unit is good for any environment: while those that are provisioned are still starting, or when
        some were lost, the qualifier gets what it was promised on others. While an alias moves there are environments
        for it on both versions, and it never gets more units than it has.
        """
        provisioned = self.provisioned.get(qualifier) if self.provisioned else None
        # What exceeds the rate of the provisioned concurrency is taken from the rate of what runs on demand.
        if not rated and (provisioned is None or not provisioned.requests.take(now)) and not self._take_request(now):
            return ThrottleReason.RATE if self.reserved is None else ThrottleReason.RESERVED_RATE
        reserved = self.reserved
        if reserved is not None and self.in_flight >= reserved:
            return ThrottleReason.RESERVED
        if provisioned is not None and provisioned.free:
            provisioned.count(1, now)
            self.in_flight += 1
            return provisioned.unit
        if reserved is None:
            if not self.account.acquire():
                return ThrottleReason.ACCOUNT
        elif self.on_demand_in_flight >= reserved - self.provisioned_units:
            # Provisioned concurrency is a part of the reservation, and nobody else's even while it is idle (§5.8).
            return ThrottleReason.RESERVED
        self.in_flight += 1
        self.on_demand_in_flight += 1
        return _UNRESERVED if reserved is None else _RESERVED

    @property
    def request_bucket(self) -> TokenBucket:
        """Where the rate of requests on demand is counted: the function's, or its account's."""
        return self.account.requests if self.reserved is None else self._requests

    def _take_request(self, now: float) -> bool:
        """One request of the rate. Without any concurrency the rate is not what is lacking."""
        if self.reserved is None:
            return self.account.requests.take(now)
        return self._requests.take(now) or self.reserved == 0

    def promote(self, unit: Unit, qualifier: str, now: float) -> Unit:
        """The unit of a request that a provisioned environment takes after all: the qualifier's, if one is free."""
        found = self.provisioned.get(qualifier)
        if unit.source is UnitSource.PROVISIONED or found is None or found.in_flight >= found.allocated:
            return unit
        self.release(unit, now)
        self.in_flight += 1
        found.count(1, now)
        return found.unit

    def adopt(self, qualifier: str, now: float) -> Unit:
        """The unit of an invocation that runs already, within the limits or not."""
        found = self.provisioned.get(qualifier)
        self.in_flight += 1
        if found is not None:
            found.count(1, now)
            return found.unit
        self.on_demand_in_flight += 1
        if self.reserved is not None:
            return _RESERVED
        self.account.unreserved_in_flight += 1
        return _UNRESERVED

    def release(self, unit: Unit, now: float) -> None:
        """Gives a unit back to where it was taken from."""
        self.in_flight -= 1
        if unit.source is UnitSource.PROVISIONED:
            found = self.provisioned[unit.qualifier]
            found.count(-1, now)
            if found.allocated == 0 and found.in_flight == 0:
                del self.provisioned[unit.qualifier]
            return
        self.on_demand_in_flight -= 1
        if unit.source is UnitSource.UNRESERVED:
            self.account.release()

    def reserve(self, reserved: int | None, now: float) -> None:
        """The function's reservation; None when it has none."""
        self.account.reserve(self.name, reserved)
        if reserved != self.reserved:
            self.reserved = reserved
            self._requests = request_rate(reserved or 0, now)

    def provision(self, allocated: Mapping[str, int], now: float) -> None:
        """Provisioned concurrency by alias or version. What one has in flight that loses it ends as it is."""
        for qualifier in [*self.provisioned, *allocated]:
            self._provision(qualifier, allocated.get(qualifier, 0), now)
        self.provisioned_units = sum(found.allocated for found in self.provisioned.values())
        self.account.provision(self.name, self.provisioned_units)

    def _provision(self, qualifier: str, units: int, now: float) -> None:
        found = self.provisioned.get(qualifier)
        if found is None:
            if units > 0:
                unit = Unit(UnitSource.PROVISIONED, qualifier)
                found = ProvisionedShare(unit, units, request_rate(units, now), _counted=now, _looked=now)
                self.provisioned[qualifier] = found
        elif units == 0 and found.in_flight == 0:
            del self.provisioned[qualifier]
        elif units != found.allocated:
            found.allocated = units
            rate = request_rate(units, now)
            found.requests.resize(rate.capacity, rate.rate)


def function_share(account: Account, name: str, reserved: int | None, now: float) -> FunctionShare:
    """The share of a function that runs nothing yet."""
    account.reserve(name, reserved)
    scaling = token_bucket.full(limits.SCALING_RATE, limits.SCALING_RATE / limits.SCALING_RATE_PERIOD_S, now)
    return FunctionShare(account, name, reserved, scaling, request_rate(reserved or 0, now))
