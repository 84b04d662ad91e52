"""A token bucket with continuous refill: limits that allow a burst and then a rate (§5.9, §5.10)."""

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """`capacity` tokens at most, `rate` new ones a second."""

    capacity: float
    rate: float
    tokens: float
    updated: float = 0.0
    lent: float = 0.0
    """Tokens that somebody else spends or gives back: together with them the bucket is never more than full."""

    def take(self, now: float) -> bool:
        """Takes one token, if there is one at `now` (seconds on any steady clock)."""
        self._refill(now)
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    def give_back(self) -> None:
        """Returns a token that was taken for nothing."""
        self._put(1.0)

    def lend(self, wanted: int, least: int, now: float) -> int:
        """Takes `wanted` tokens until `settle`, or half of what there is; none when that is less than `least`."""
        self._refill(now)
        found = min(wanted, int(self.tokens / 2))
        if found < least:
            return 0
        self.tokens -= found
        self.lent += found
        return found

    def settle(self, lent: int, used: int) -> None:
        """Of tokens that were lent, so many were used."""
        self.lent -= lent
        self._put(float(lent - used))

    def resize(self, capacity: float, rate: float) -> None:
        """The limit changes. What it grew by is there at once; what was taken stays taken."""
        grown = capacity - self.capacity
        self.capacity, self.rate = capacity, rate
        self._put(max(grown, -self.tokens))

    def _refill(self, now: float) -> None:
        if now > self.updated:
            self._put((now - self.updated) * self.rate)
            self.updated = now

    def _put(self, tokens: float) -> None:
        self.tokens = max(0.0, min(self.capacity - self.lent, self.tokens + tokens))


def full(capacity: float, rate: float, now: float) -> TokenBucket:
    """A bucket that starts full."""
    return TokenBucket(capacity, rate, capacity, now)
