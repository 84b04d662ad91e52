"""A token bucket with continuous refill: limits that allow a burst and then a rate (§5.9, §5.10)."""

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """`capacity` tokens at most, `rate` new ones a second."""

    capacity: float
    rate: float
    tokens: float
    updated: float = 0.0

    def take(self, now: float) -> bool:
        """Takes one token, if there is one at `now` (seconds on any steady clock)."""
        if now > self.updated:
            self.tokens = min(self.capacity, self.tokens + (now - self.updated) * self.rate)
            self.updated = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    def give_back(self) -> None:
        """Returns a token that was taken for nothing."""
        self.tokens = min(self.capacity, self.tokens + 1.0)

    def resize(self, capacity: float, rate: float) -> None:
        """The limit changes. What it grew by is there at once; what was taken stays taken."""
        self.tokens = min(capacity, max(0.0, self.tokens + capacity - self.capacity))
        self.capacity, self.rate = capacity, rate


def full(capacity: float, rate: float, now: float) -> TokenBucket:
    """A bucket that starts full."""
    return TokenBucket(capacity, rate, capacity, now)
