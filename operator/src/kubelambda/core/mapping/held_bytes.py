"""How many bytes the batches of mappings may hold at once in one poller process: pure.

A batch is in memory from its receive until its function has answered, which may take a quarter of an hour, or for ever
where it is tried again and again. Who holds as much as it leaves to the others waits: one mapping alone has half of
what its account may have, two have a third each, and there is always room for one more. An account that holds nothing
never waits: what others keep for days cannot stop it.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

EXPECTED_LEAST: Final = 16 << 10
"""What a receive counts for while nothing is known of it, or nothing comes: thousands of long polls go side by side."""


@dataclass(frozen=True, slots=True)
class ByteLimits:
    """Bytes of records; with the event that is made of them, and the answer, they take thrice as much."""

    account: int = 64 << 20
    all_accounts: int = 128 << 20


@dataclass(slots=True)
class HeldBytes:
    """What is held, by account and mapping. What comes is known only once it is there: the last one may be too much."""

    limits: ByteLimits
    _mappings: Counter[tuple[str, str]] = field(default_factory=Counter)
    _accounts: Counter[str] = field(default_factory=Counter)
    _total: int = 0

    def admits(self, account: str, mapping: str) -> bool:
        """Whether a mapping may receive more now."""
        of_account = self._accounts[account]
        if not of_account:
            return True
        return (
            self._mappings[account, mapping] < self.limits.account - of_account
            and of_account < self.limits.all_accounts - self._total
        )

    def add(self, account: str, mapping: str, more: int) -> None:
        """A mapping holds more, or less, than it did."""
        self._total += more
        _add(self._mappings, (account, mapping), more)
        _add(self._accounts, account, more)


def _add[K](counts: Counter[K], key: K, more: int) -> None:
    counts[key] += more
    if not counts[key]:
        del counts[key]


def expected(before: int, came: int) -> int:
    """What a mapping's next batch counts for until it is there, after one of `came` bytes: it falls slowly."""
    return max(EXPECTED_LEAST, came, before * 3 // 4)
