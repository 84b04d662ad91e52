"""The concurrency of an account: what its functions reserve, and what the others share (§5.2, D.1)."""

from dataclasses import dataclass, field

from kubelambda.api import limits
from kubelambda.core.account import token_bucket
from kubelambda.core.account.token_bucket import TokenBucket


@dataclass(slots=True)
class Account:
    """One namespace. `reserved` holds every granted reservation by function name.

    `requests` limits the rate of the functions that have no reservation, all of them together (§5.10).
    """

    quota: int
    reserved: dict[str, int] = field(default_factory=dict)
    unreserved_in_flight: int = 0
    requests: TokenBucket = field(init=False)

    def __post_init__(self) -> None:
        """The bucket starts full, whatever the time."""
        self.requests = request_rate(self.quota, 0.0)

    def change_quota(self, quota: int) -> None:
        """The account has another quota; the request rate follows it."""
        self.quota = quota
        rate = request_rate(quota, 0.0)
        self.requests.resize(rate.capacity, rate.rate)

    @property
    def unreserved_limit(self) -> int:
        """Concurrency left to functions without a reservation."""
        return max(0, self.quota - sum(self.reserved.values()))

    def acquire(self) -> bool:
        """Takes one unit of the unreserved pool, if there is one."""
        if self.unreserved_in_flight >= self.unreserved_limit:
            return False
        self.unreserved_in_flight += 1
        return True

    def release(self) -> None:
        """Gives one unit back."""
        self.unreserved_in_flight -= 1


def request_rate(units: int, now: float) -> TokenBucket:
    """Ten requests a second for every unit of concurrency (§5.10)."""
    rate = float(units * limits.REQUEST_RATE_FACTOR)
    return token_bucket.full(rate, rate, now)
