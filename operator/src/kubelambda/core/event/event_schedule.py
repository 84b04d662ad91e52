"""Which waiting event is tried next: fair between functions, never more of one at once than it takes; pure.

A function begins with a few events at once. Each success allows one more, until an attempt is turned down: that halves
them, and from then on ten successes allow one more. So a function that runs one at a time turns down few of its events,
each of which backs off by itself; one that is throttled for an hour is asked now and then, never in the way of others.
"""

import heapq
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from kubelambda.core.event.delivery import AttemptOutcome

WINDOW_FIRST = 10.0
WINDOW_MIN = 1.0
WINDOW_MAX = 1000.0
GROWTH_FIRST = 1.0
GROWTH = 0.1
"""For each success, before and after a function first turned an event down."""

type ScheduledFunction = tuple[str, str]
"""Namespace and name: the versions of a function share its concurrency."""


@dataclass(slots=True)
class _Line:
    waiting: list[tuple[float, int]] = field(default_factory=list)
    running: int = 0
    window: float = WINDOW_FIRST
    growth: float = GROWTH_FIRST
    active: bool = False
    """Whether it is in the rotation."""


@dataclass(slots=True)
class EventSchedule:
    """Events by number, due at times in seconds of a clock that nobody puts back. Holds nothing of them but that."""

    _lines: dict[ScheduledFunction, _Line] = field(default_factory=dict)
    _rotation: deque[ScheduledFunction] = field(default_factory=deque)
    _sleeping: list[tuple[float, ScheduledFunction]] = field(default_factory=list)
    _count: int = 0

    def __len__(self) -> int:
        """Events that wait, whenever they are due."""
        return self._count

    def add(self, function: ScheduledFunction, number: int, due: float) -> None:
        """An event that waits until `due`."""
        line = self._lines.get(function)
        if line is None:
            line = self._lines[function] = _Line()
        heapq.heappush(line.waiting, (due, number))
        self._count += 1
        if not line.active and line.waiting[0] == (due, number):
            heapq.heappush(self._sleeping, (due, function))

    def take(self, now: float) -> tuple[ScheduledFunction, int] | None:
        """The next event to try; it counts as running until `finished`."""
        self._wake(now)
        while self._rotation:
            function = self._rotation.popleft()
            line = self._lines[function]
            line.active = False
            if not line.waiting and not line.running:
                del self._lines[function]  # forgotten while it was in turn
                continue
            if not line.waiting or line.running >= int(line.window):
                continue  # what ends of it brings it back
            if line.waiting[0][0] > now:
                heapq.heappush(self._sleeping, (line.waiting[0][0], function))
                continue
            _, number = heapq.heappop(line.waiting)
            self._count -= 1
            line.running += 1
            self._activate(function, line)
            return function, number
        return None

    def finished(self, function: ScheduledFunction, outcome: AttemptOutcome) -> None:
        """An attempt ended."""
        line = self._lines[function]
        line.running -= 1
        if outcome is AttemptOutcome.TURNED_DOWN:
            line.window = max(WINDOW_MIN, line.window / 2)
            line.growth = GROWTH
        else:
            line.window = min(WINDOW_MAX, line.window + line.growth)
        if line.waiting:
            self._activate(function, line)
        elif not line.running and not line.active:
            del self._lines[function]

    def withdraw(self, function: ScheduledFunction, numbers: Collection[int]) -> dict[int, float]:
        """Takes those of `numbers` that wait out; when each was due."""
        line = self._lines.get(function)
        if line is None:
            return {}
        found = {number: due for due, number in line.waiting if number in numbers}
        line.waiting = [each for each in line.waiting if each[1] not in found]
        heapq.heapify(line.waiting)
        self._count -= len(found)
        if not line.waiting and not line.running and not line.active:
            del self._lines[function]
        return found

    def numbers(self) -> Iterator[tuple[ScheduledFunction, int]]:
        """Every event that waits."""
        for function, line in self._lines.items():
            for _, number in line.waiting:
                yield function, number

    def next_due(self) -> float | None:
        """When `take` may have something next, unless an attempt ends before; None when nothing waits."""
        if self._rotation:
            return 0.0
        return self._sleeping[0][0] if self._sleeping else None

    def first_due(self) -> dict[ScheduledFunction, float]:
        """When the first waiting event of each function is due, or was."""
        return {function: line.waiting[0][0] for function, line in self._lines.items() if line.waiting}

    def waiting_by_function(self) -> dict[ScheduledFunction, int]:
        """Waiting events of each function that has some."""
        return {function: len(line.waiting) for function, line in self._lines.items() if line.waiting}

    def _activate(self, function: ScheduledFunction, line: _Line) -> None:
        if line.waiting and not line.active:
            line.active = True
            self._rotation.append(function)

    def _wake(self, now: float) -> None:
        while self._sleeping and self._sleeping[0][0] <= now:
            _, function = heapq.heappop(self._sleeping)
            line = self._lines.get(function)
            if line is not None:
                self._activate(function, line)
