"""Every way in which a few things may go wrong with an event, one after the other: the worker's own code, explored.

A run is a list of choices: whether an operation works, fails, or the process dies before or after it, and what the
function answers. All lists with at most `FAULTS` unusual choices are tried, with a new worker on the same queue after
each crash.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from kubelambda.core.event.delivery import AttemptOutcome, EventProgress, RetryPolicy, accepted
from kubelambda.core.event.destination_record import LastAttempt
from kubelambda.core.event.event_ending import EventEnding
from kubelambda.events.attempt import AttemptResult, Attempts
from kubelambda.events.destinations import Destinations
from kubelambda.events.event_ends import EventEnds
from kubelambda.events.event_metrics import EventMetrics
from kubelambda.events.event_worker import EventWorker
from kubelambda.events.function_policies import EventPolicy, FunctionPolicies
from kubelambda.outbound.record_sender import DestinationFailed
from kubelambda.store.event.event_queue import EventQueue, InvokedFunction, QueuedEvent, QueueUnavailable

FAULTS = 4
METRICS = EventMetrics()
POLICY = EventPolicy(RetryPolicy(1), on_success="success", on_failure="failure", dead_letter="dead")
ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"


class Crash(BaseException):
    """The process is gone. What was durable is there."""


@dataclass
class Choices:
    """A list of choices that is followed, and 0, the usual thing, after its end."""

    wanted: Sequence[int]
    made: list[tuple[int, int]] = field(default_factory=list)
    """Each choice, and how many there were."""

    def choose(self, *options: str) -> str:
        """One of the options."""
        index = self.wanted[len(self.made)] if len(self.made) < len(self.wanted) else 0
        self.made.append((index, len(options)))
        return options[index]


@dataclass
class World:
    """What outlives the process: the queue, and what others saw."""

    choices: Choices
    kept: dict[int, QueuedEvent] = field(default_factory=dict)
    promised: bool = False
    outcomes: list[str] = field(default_factory=list)
    """What the function answered, once for every run of it."""
    told: list[str] = field(default_factory=list)
    runs_after_ending: int = 0
    crashed: bool = False
    disturbed: bool = False
    """Whether the process died, or the queue failed."""

    def durable(self) -> None:
        """Whether an operation on the queue goes on; after it, `after` says whether the process lives."""
        match self.choices.choose("works", "fails", "crash before"):
            case "fails":
                self.disturbed = True
                raise QueueUnavailable("full")
            case "crash before":
                self.disturbed = self.crashed = True
                raise Crash

    def after(self) -> None:
        """The process may die after what it did."""
        if self.choices.choose("goes on", "crash after") == "crash after":
            self.disturbed = self.crashed = True
            raise Crash

    # -- the queue --------------------------------------------------------------------------------------------------

    async def append(self, event: QueuedEvent) -> int:
        """Keeps the one event."""
        self.durable()
        self.kept[1] = event
        self.after()
        return 1

    async def read(self, numbers: Sequence[int]) -> dict[int, QueuedEvent]:
        """What is there."""
        return {number: self.kept[number] for number in numbers if number in self.kept}

    async def postpone(self, number: int, progress: EventProgress, ending: EventEnding | None = None) -> None:
        """Keeps progress."""
        self.durable()
        self.kept[number] = replace(self.kept[number], progress=progress, ending=ending)
        self.after()

    async def finish(self, number: int) -> None:
        """Forgets it."""
        self.durable()
        self.kept.pop(number, None)
        self.after()

    # -- the function and those who are told -------------------------------------------------------------------------

    async def attempt(self, event: QueuedEvent) -> AttemptResult:
        """Runs the function."""
        self.runs_after_ending += self.kept[1].ending is not None
        answer = self.choices.choose("success", "error", "turned down")
        if answer == "turned down":
            return AttemptResult(AttemptOutcome.TURNED_DOWN)
        self.outcomes.append(answer)
        self.after()
        failed = answer == "error"
        last = LastAttempt(200, "$LATEST", "Unhandled" if failed else None, b"{}")
        return AttemptResult(AttemptOutcome.FUNCTION_ERROR if failed else AttemptOutcome.SUCCEEDED, last)

    async def deliver(self, destination: str, _event: QueuedEvent, _ending: EventEnding) -> None:
        """Tells a destination."""
        if self.choices.choose("takes it", "refuses") == "refuses":
            raise DestinationFailed("no")
        self.told.append(destination)
        self.after()

    bury = deliver

    async def of(self, *_: str) -> EventPolicy:
        """What the function says of its events."""
        return POLICY


def worker(world: World) -> EventWorker:
    """A new process."""
    queue, metrics = cast("EventQueue", world), METRICS
    ends = EventEnds(queue, cast("Destinations", world), metrics)
    return EventWorker(queue, cast("Attempts", world), cast("FunctionPolicies", world), ends, metrics)


async def lived(wanted: Sequence[int]) -> World:
    """The whole life of an event."""
    world = World(Choices(wanted))
    event = QueuedEvent(InvokedFunction("shop", "f", ""), "id-1", b"{}", accepted(1e10), {"x-kubelambda-arn": ARN})
    try:
        await world.append(event)
        world.promised = True
    except (Crash, QueueUnavailable):
        pass  # no 202
    process = worker(world)
    for _ in range(50):
        if not world.kept:
            return world
        try:
            await process._turn(1)
        except QueueUnavailable:
            continue
        except Crash:
            process = worker(world)
    pytest.fail(f"the event never ended: {wanted}")


def following(choices: Choices) -> list[int] | None:
    """The next list of choices, depth first, with at most `FAULTS` unusual ones; None after the last."""
    made = [index for index, _ in choices.made]
    for place in reversed(range(len(made))):
        usual_before = sum(index > 0 for index in made[:place])
        if made[place] + 1 < choices.made[place][1] and usual_before + 1 <= FAULTS:
            return [*made[:place], made[place] + 1]
    return None


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of lives: what they say is not kept."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


async def test_nothing_promised_is_lost_whatever_happens_when() -> None:
    """Its end is known to everybody who is to be told, and the function never runs again once that is written down."""
    wanted: list[int] | None = []
    lives: list[tuple[World, Any]] = []
    while wanted is not None:
        world = await lived(wanted)
        lives.append((world, wanted))
        wanted = following(world.choices)
    for world, choices in lives:
        if not world.promised and not world.outcomes:
            continue  # nothing was accepted
        assert world.outcomes, choices
        wanted_listeners = {"success"} if world.outcomes[-1] == "success" else {"failure", "dead"}
        assert wanted_listeners <= set(world.told), choices
        assert world.outcomes[-1] == "success" or world.outcomes.count("error") >= 2, choices
        assert world.runs_after_ending == 0, choices
        if not world.disturbed:  # whatever the function and its destinations do, everything happens once
            assert len(world.told) == len(set(world.told)), choices
            assert len(world.outcomes) <= 2, choices
    assert len(lives) > 2000
    assert any(world.crashed for world, _ in lives)
    assert any(len(world.told) > 2 for world, _ in lives), "a crash tells somebody twice"


def test_the_walk_leaves_no_list_out() -> None:
    """Of three choices among two, two and three with any number of faults: all twelve."""
    seen: list[tuple[int, ...]] = []
    wanted: list[int] | None = []
    while wanted is not None:
        choices = Choices(wanted)
        seen.append(tuple(int(choices.choose(*map(str, range(count)))) for count in (2, 2, 3)))
        wanted = following(choices)
    assert len(seen) == len(set(seen)) == 12
