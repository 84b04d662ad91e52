"""How often a function is started that does not come up: more and more rarely, not as often as it is called.

Pure. Times are seconds on a steady clock.
"""

from dataclasses import dataclass
from typing import Any

FREE_FAILURES = 2
"""Failures in a row after which the next start may still begin at once: the first ones may have been bad luck."""
PAUSE_MAX_S = 30.0
_PAUSE_S = 1.0


@dataclass(slots=True)
class StartBackoff:
    """Starts of one revision of a function. A success forgets every failure before it."""

    failures: int = 0
    failure: Any = None
    """How the last start failed: what callers get for as long as none may begin."""
    _due: float = 0.0
    _failed: float = 0.0
    probing: bool = False
    """Whether a start is under way that tries for all others."""

    def refusal(self, now: float) -> Any:
        """None when a start may begin; else the failure that answers whoever asked for it.

        After the pause one start may begin, and the others wait for what becomes of it.
        """
        if self.failures <= FREE_FAILURES:
            return None
        if now < self._due or self.probing:
            return self.failure
        self.probing = True
        return None

    def failed_since(self, moment: float) -> bool:
        """Whether a start failed after `moment`."""
        return self.failures > 0 and self._failed > moment

    def failed(self, failure: Any, begun: float, now: float) -> None:
        """A start that had `begun` at that time failed. Starts that failed side by side count as one."""
        self.failure = failure
        self.probing = False
        if self.failures and begun < self._failed:
            return
        self.failures += 1
        self._failed = now
        exponent = min(self.failures - FREE_FAILURES - 1, 16)
        self._due = now + min(PAUSE_MAX_S, _PAUSE_S * 2.0**exponent) if exponent >= 0 else now

    def ended(self) -> None:
        """A start ended without saying anything of the function: no pod, no answer, nobody who waited for it."""
        self.probing = False

    def succeeded(self) -> None:
        """An environment is ready."""
        self.failures = 0
        self.failure = None
        self.probing = False
