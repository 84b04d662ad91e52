"""The concurrency of an account: what its functions reserve, and what the others share (§5.2, D.1)."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Account:
    """One namespace. `reserved` holds every granted reservation by function name."""

    quota: int
    reserved: dict[str, int] = field(default_factory=dict)
    unreserved_in_flight: int = 0

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
