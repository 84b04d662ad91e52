"""What all connections of a listener share: how many there may be, what they may hold, and how long they may take."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import Any, Protocol

SLOWEST_BYTES_PER_S = 8_192
"""A body may take this much longer than its deadline for every byte: honest clients on poor lines are quicker."""
RELAY_S = 600.0
"""For one of us who passes an answer on, and reads as seldom as its own slow caller makes it: enough for 1 KB/s.

It ends callers that do not read by itself; this is for one whose node is lost.
"""
_SWEEP_S = 1.0
_LOOKED_AT = 64


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of a listener's connections. Seconds may be `math.inf`."""

    head_s: float = 30.0
    """From the first byte of a request to the end of its head."""
    body_s: float = 60.0
    """For a body, beside its bytes at `SLOWEST_BYTES_PER_S`; between two pieces of it where it is streamed."""
    write_s: float = 60.0
    """Between two signs that a client reads what was sent to it, however slowly."""
    idle_s: float = 350.0
    """Between two requests: longer than load balancers keep a connection, so that they close it first."""
    connections: int = 4_096
    """At once. One more takes the place of an idle one, or else of one whose request has no end of its head yet."""
    buffered_bytes: int = 201_326_592
    """Of requests that are not answered, their heads included, and of answers that are not read, together."""


class Watched(Protocol):
    """A connection, to those that watch over it."""

    deadline: float
    """When it must have got on, on the monotonic clock."""
    touched: bool
    """Whether bytes came since the last look."""
    idle_since: float
    lasting: bool
    """Whether it may be idle for ever."""
    closing: bool
    """Whether its next answer is the last one."""

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer."""
        ...

    @property
    def idle(self) -> bool:
        """Whether it waits for a request."""
        ...

    @property
    def sending(self) -> bool:
        """Whether some of its answers is still to be sent."""
        ...

    def finish(self) -> bool:
        """Ends it after its next answer. Returns whether somebody waits for one, or has not read all of the last."""
        ...

    def expire(self, now: float) -> None:
        """Its deadline has passed."""

    def close(self) -> None:
        """Closes the connection."""

    def cut(self) -> None:
        """Closes the connection at once."""


class Connections:
    """The connections of one listener. Looks at them once a second, and only while one of them has a deadline."""

    def __init__(
        self, bounds: Bounds | None = None, call_later: Callable[[float, Callable[[], None]], Any] | None = None
    ) -> None:
        self.bounds = bounds or Bounds()
        self._call_later = call_later
        self._all: dict[Watched, None] = {}
        self._unread: dict[Watched, None] = {}
        self._buffered: dict[Watched, int] = {}
        self.buffered_bytes = 0
        """What the connections hold now."""
        self._armed = False

    def __iter__(self) -> Iterator[Watched]:
        return iter(list(self._all))

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Watched) -> bool:
        """Takes a new connection in; False when there is no room for it."""
        if len(self._all) >= self.bounds.connections and not self._make_room():
            return False
        self._all[connection] = None
        connection.idle_since = monotonic()
        if self.bounds.idle_s < math.inf:
            self._arm()
        return True

    def remove(self, connection: Watched) -> None:
        """The connection is closed."""
        self._all.pop(connection, None)
        self.read(connection)
        self.release(connection)

    def watch(self, connection: Watched, seconds: float) -> float:
        """The connection must have got on in `seconds`. Returns now."""
        now = monotonic()
        connection.deadline = now + seconds
        if seconds < math.inf:
            self._arm()
        return now

    def hold(self, connection: Watched, size: int) -> bool:
        """The connection holds `size` bytes now; False when that is more than there is room for."""
        self.buffered_bytes += size - self._buffered.get(connection, 0)
        self._buffered[connection] = size
        while self.buffered_bytes > self.bounds.buffered_bytes:
            slowest = next(iter(self._unread), None)
            if slowest is None or slowest is connection:
                return False
            slowest.cut()  # whoever does not read is in the way of those who do
            self.read(slowest)
            self.release(slowest)
        return True

    def release(self, connection: Watched) -> None:
        """The connection holds nothing any more."""
        self.buffered_bytes -= self._buffered.pop(connection, 0)

    def unread(self, connection: Watched) -> None:
        """The connection's client does not read."""
        self._unread[connection] = None

    def read(self, connection: Watched) -> None:
        """The connection's client reads again."""
        self._unread.pop(connection, None)

    def sweep(self, now: float) -> None:
        """Ends what takes too long."""
        for connection in self:
            if connection.deadline <= now:
                connection.expire(now)
            elif connection.touched or not connection.idle:
                connection.touched = False
                connection.idle_since = now
            elif not connection.lasting and now - connection.idle_since > self.bounds.idle_s:
                connection.close()

    def _make_room(self) -> bool:
        """Looks at the oldest few, and moves those that are in use behind the others."""
        begun: Watched | None = None
        for connection in list(islice(self._all, _LOOKED_AT)):
            del self._all[connection]
            if connection.idle and not connection.lasting and self.bounds.idle_s < math.inf:
                connection.close()
                return True
            if begun is None and not connection.busy and not connection.sending:
                begun = connection
            self._all[connection] = None
        if begun is None:
            return False
        del self._all[begun]
        begun.cut()  # who sends half a head on every connection would keep all others out
        return True

    def _arm(self) -> None:
        if not self._armed and self._call_later is not None:
            self._armed = True
            self._call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._armed = False
        try:
            self.sweep(monotonic())
        finally:
            idle = self.bounds.idle_s < math.inf
            if any(found.deadline < math.inf or (idle and not found.lasting) for found in self._all):
                self._arm()
