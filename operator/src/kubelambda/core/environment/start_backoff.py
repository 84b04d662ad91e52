"""How often a function is started that does not come up: more and more rarely, not as often as it is called.

Pure. Times are seconds on a steady clock.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

FREE_FAILURES = 2
"""Failures in a row after which the next start may still begin at once: the first ones may have been bad luck."""
PAUSE_MAX_S = 30.0
_PAUSE_S = 1.0


@dataclass(slots=True)
class StartBackoff:
    """Starts of one revision of a function, each named by a `start`. A success forgets every failure before it."""

    failures: int = 0
    failure: Any = None
    """How the last start failed: what callers get for as long as none may begin."""
    _due: float = 0.0
    _failed: float = 0.0
    _probe: Hashable | None = None
    """The start under way that tries for all others."""

    def refusal(self, now: float, start: Hashable) -> Any:
        """None when a start may begin; else the failure that answers whoever asked for it.

        After the pause one start may begin, and the others wait for what becomes of it.
        """
        if self.failures <= FREE_FAILURES:
            return None
        if now < self._due or self._probe is not None:
            return self.failure
        self._probe = start
        return None

    def is_probe(self, start: Hashable) -> bool:
        """Whether a start tries for all others."""
        return self._probe is not None and self._probe == start

    def failed_since(self, moment: float) -> bool:
        """Whether a start failed after `moment`."""
        return self.failures > 0 and self._failed > moment

    def failed(self, failure: Any, start: Hashable, begun: float, now: float) -> None:
        """A start that had `begun` at that time failed. Starts that failed side by side count as one."""
        self.failure = failure
        self.ended(start)
        if self.failures and begun < self._failed:
            return
        self.failures += 1
        self._failed = now
        exponent = min(self.failures - FREE_FAILURES - 1, 16)
        self._due = now + min(PAUSE_MAX_S, _PAUSE_S * 2.0**exponent) if exponent >= 0 else now

    def ended(self, start: Hashable) -> None:
        """A start ended without saying anything of the function: no pod, no answer, nobody who waited for it.

        One that began before the others were refused, and ends while one tries for all, lets no second one try.
        """
        if self.is_probe(start):
            self._probe = None

    def succeeded(self) -> None:
        """An environment is ready."""
        self.failures = 0
        self.failure = None
        self._probe = None
