"""How often an account may call the control API (§0.6)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kubelambda.core.account import token_bucket
from kubelambda.core.account.token_bucket import TokenBucket

OTHERS: Final = ""
"""Key of the limit that all operations share which have none of their own."""
LIMITS: Final[Mapping[str, float]] = {"GetFunction": 100, "GetPolicy": 15, OTHERS: 15}
"""Lambda's own, in requests a second."""


@dataclass(slots=True)
class RequestRates:
    """The buckets of all accounts. `limits` in requests a second by operation; 0 or none at all is no limit."""

    limits: Mapping[str, float]
    _buckets: dict[tuple[str, str], TokenBucket] = field(default_factory=dict)

    def admits(self, account: str, operation: str, now: float) -> bool:
        """Whether the account may make one more call at `now` (seconds on any steady clock); counts it if so."""
        key = operation if operation in self.limits else OTHERS
        limit = self.limits.get(key, 0)
        if limit <= 0:
            return True
        bucket = self._buckets.get((account, key))
        if bucket is None:
            bucket = self._buckets[account, key] = token_bucket.full(max(1.0, limit), limit, now)
        return bucket.take(now)

    def forget(self, account: str) -> None:
        """The account is gone."""
        for key in [key for key in self._buckets if key[0] == account]:
            del self._buckets[key]
