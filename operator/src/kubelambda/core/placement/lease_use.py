"""What a lease of an environment was used for, as its holder says when it gives it back."""

from typing import NamedTuple


class LeaseUse(NamedTuple):
    """Invocations that began on it, and for how long something ran."""

    invocations: int = 0
    busy_ms: int = 0

    @property
    def busy_s(self) -> float:
        """In seconds."""
        return self.busy_ms / 1000.0
