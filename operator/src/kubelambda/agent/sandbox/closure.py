"""Whether an environment that is born closed is: it tries, again and again, until it was so long enough.

NetworkPolicies only ever allow, and whoever enforces them hears of a new pod a moment late. Nobody outside can tell
when; from inside a packet does.
"""

import socket
from collections.abc import Callable
from time import monotonic

from kubelambda.api.environment_protocol import ClosureCheck
from kubelambda.wire.event_loop import EventLoop

_CONNECT_S = 0.5
_PAUSE_S = 0.1


class Closure:
    """What was found so far. It stays once it was found: rules do not open by themselves what they close."""

    def __init__(
        self, check: ClosureCheck, loop: EventLoop, look: "Callable[[ClosureCheck], str | None] | None" = None
    ):
        self._check = check
        self._loop = loop
        self._look = look or open_way
        self._since: float | None = None
        self.why = "nobody has tried yet"
        """Why it is not taken for closed; empty once it is."""

    def begin(self) -> None:
        """Tries, until it is closed."""
        found: list[str | None] = []
        self._loop.in_thread(lambda: found.append(self._look(self._check)), lambda error: self._looked(error, found))

    def _looked(self, error: Exception | None, found: list[str | None]) -> None:
        way = str(error) if error is not None else found[0]
        now = monotonic()
        if way is not None:
            self._since, self.why = None, way
        elif self._since is None:
            self._since, self.why = now, "it has been closed for a moment only"
        if self._since is not None and now - self._since >= self._check.seconds:
            self.why = ""
            return
        self._loop.call_later(_PAUSE_S, self.begin)


def open_way(check: ClosureCheck) -> str | None:
    """Why the environment is not closed, as far as one look tells; None when it seems to be."""
    if not check.refused:
        return None
    if _reaches(check.refused):
        return f"no NetworkPolicy holds for it: it reaches {check.refused}"
    if not _reaches(check.allowed):
        return f"its network is not there: it does not reach {check.allowed}"
    return None


def _reaches(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT_S).close()
    except OSError:
        return False
    return True
