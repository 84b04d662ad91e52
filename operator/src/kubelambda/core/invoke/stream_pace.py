"""How quickly an answer may be streamed: so much at once, and then so much a second (§2.4.2). Pure."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class StreamPace:
    """A bucket of `burst_bytes`, full at first, into which `bytes_per_second` flow; 0: nothing is ever waited for."""

    burst_bytes: int
    bytes_per_second: float
    _left: float = field(init=False)
    _since: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """It begins full."""
        self._left = self.burst_bytes

    def take(self, size: int, now: float) -> float:
        """Takes `size` bytes that are on their way already; returns how many seconds nothing more should come.

        `now` in seconds, on any clock that does not go back.
        """
        if not self.bytes_per_second:
            return 0.0
        if self._since is not None:
            flown = (now - self._since) * self.bytes_per_second
            self._left = min(float(self.burst_bytes), self._left + flown)
        self._since = now
        self._left -= size
        return max(0.0, -self._left / self.bytes_per_second)
