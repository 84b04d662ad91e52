"""The concurrency of an account: what its functions reserve and provision, and what the others share (§5.2, D.1)."""

from dataclasses import dataclass, field

from kubelambda.api import limits
from kubelambda.core.account import token_bucket
from kubelambda.core.account.token_bucket import TokenBucket


@dataclass(slots=True)
class Account:
    """One namespace. `requests` limits the rate of all functions without a reservation together (§5.10)."""

    quota: int
    unreserved_in_flight: int = 0
    requests: TokenBucket = field(init=False)
    unreserved_limit: int = field(init=False)
    """Concurrency left to on-demand invocations of functions without a reservation."""
    _reserved: dict[str, int] = field(default_factory=dict)
    _provisioned: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The bucket starts full, whatever the time."""
        self.requests = request_rate(self.quota, 0.0)
        self.unreserved_limit = max(0, self.quota)

    def change_quota(self, quota: int) -> None:
        """The account has another quota; the request rate follows it."""
        self.quota = quota
        rate = request_rate(quota, 0.0)
        self.requests.resize(rate.capacity, rate.rate)
        self._divide()

    def reserve(self, function: str, units: int | None) -> None:
        """The reservation of a function; None when it has none."""
        _put(self._reserved, function, units)
        self._divide()

    def provision(self, function: str, units: int) -> None:
        """The provisioned concurrency of a function, all its versions and aliases together."""
        _put(self._provisioned, function, units or None)
        self._divide()

    @property
    def claimed(self) -> int:
        """Concurrency that nobody else can have: in flight, reserved, or provisioned (§9.3)."""
        return self.quota - self.unreserved_limit + self.unreserved_in_flight

    def acquire(self) -> bool:
        """Takes one unit of the unreserved pool, if there is one."""
        if self.unreserved_in_flight >= self.unreserved_limit:
            return False
        self.unreserved_in_flight += 1
        return True

    def release(self) -> None:
        """Gives one unit back."""
        self.unreserved_in_flight -= 1

    def _divide(self) -> None:
        """What is provisioned for a function with a reservation is part of its reservation."""
        provisioned = sum(units for name, units in self._provisioned.items() if name not in self._reserved)
        self.unreserved_limit = max(0, self.quota - sum(self._reserved.values()) - provisioned)


def request_rate(units: int, now: float) -> TokenBucket:
    """Ten requests a second for every unit of concurrency (§5.10)."""
    rate = float(units * limits.REQUEST_RATE_FACTOR)
    return token_bucket.full(rate, rate, now)


def _put(units: dict[str, int], function: str, wanted: int | None) -> None:
    if wanted is None:
        units.pop(function, None)
    else:
        units[function] = wanted
