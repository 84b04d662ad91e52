"""Works the queue off: tries what is due, in turn by function, and tells destinations how it ended (D.3)."""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from kubelambda.core.account.identity import unqualified
from kubelambda.core.event.delivery import (
    AttemptOutcome,
    DeliveryCondition,
    Finish,
    TryAgain,
    after_attempt,
    before_attempt,
    seconds_until,
)
from kubelambda.core.event.event_schedule import EventSchedule, ScheduledFunction
from kubelambda.core.invoke import lineage
from kubelambda.events.attempt import CONNECTIONS, AttemptResult, Attempts
from kubelambda.events.destinations import ARN, TRACE
from kubelambda.events.event_ends import EventEnds
from kubelambda.events.event_metrics import EventMetrics
from kubelambda.events.function_policies import EventPolicy, FunctionPolicies
from kubelambda.kube.errors import KubeError
from kubelambda.store.event.event_queue import EventQueue, QueuedEvent, QueueUnavailable, WaitingEvent
from kubelambda.wire.background_tasks import BackgroundTasks

_CHUNK = 200
_FAULT_PAUSE_S = 30.0
_REPORT_S = 1.0
_PAUSE_S = 1.0
"""Before an event is looked at again whose progress could not be kept."""

log = logging.getLogger(__name__)


class EventWorker:
    """The one worker of a queue."""

    def __init__(
        self,
        queue: EventQueue,
        attempts: Attempts,
        policies: FunctionPolicies,
        ends: EventEnds,
        metrics: EventMetrics,
    ) -> None:
        self._queue = queue
        self._attempts = attempts
        self._policies = policies
        self._ends = ends
        self._metrics = metrics
        self._schedule = EventSchedule()
        self._changed = asyncio.Event()
        self._tasks = BackgroundTasks()
        self._stopping = False
        self._running: dict[int, ScheduledFunction] = {}

    def arrived(self, event: WaitingEvent) -> None:
        """A new event is in the queue."""
        self._schedule.add((event.target.namespace, event.target.function), event.number, _monotonic(event.due_at))
        self._changed.set()

    async def load(self) -> int:
        """Takes in what an earlier process left; how many events that is."""
        async for number, target, due in self._queue.waiting():
            self._schedule.add((target.namespace, target.function), number, _monotonic(due))
        return len(self._schedule)

    async def run(self) -> None:
        """Works until cancelled."""
        await self._policies.synced()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._report())
            await self._run()

    async def _report(self) -> None:
        """Says how much waits, and for how long what is due has waited: not for every event, but every second."""
        while True:
            now = time.monotonic()
            lags = {function: now - due for function, due in self._schedule.first_due().items() if due < now}
            self._metrics.waiting(self._schedule.waiting_by_function(), lags)
            await asyncio.sleep(_REPORT_S)

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            while not self._stopping and len(self._tasks) < CONNECTIONS:
                taken = self._schedule.take(time.monotonic())
                if taken is None:
                    break
                self._tasks.start(self._work(*taken))
            due = self._schedule.next_due()
            pause = None if due is None or self._stopping else max(0.0, due - time.monotonic())
            if len(self._tasks) >= CONNECTIONS:
                pause = None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), pause)

    def waiting(self) -> Mapping[ScheduledFunction, int]:
        """Events of each function that wait for their turn."""
        return self._schedule.waiting_by_function()

    def numbers(self) -> Iterator[tuple[ScheduledFunction, int]]:
        """Every event that waits or runs."""
        yield from self._schedule.numbers()
        for number, function in self._running.items():
            yield function, number

    async def redrive(self, numbers: Iterable[int]) -> int:
        """Has events tried now, whatever they wait for; how many. Raises `QueueUnavailable`."""
        chosen, done = set(numbers), 0
        for function in list(self._schedule.waiting_by_function()):
            # Out of the schedule meanwhile: nobody else writes down how far they are.
            waiting = self._schedule.withdraw(function, chosen)
            try:
                for begin in range(0, len(waiting), _CHUNK):
                    done += await self._bring_forward(list(waiting)[begin : begin + _CHUNK], waiting)
            finally:
                for number, due in waiting.items():
                    self._schedule.add(function, number, due)
                self._changed.set()
        return done

    async def _bring_forward(self, numbers: Sequence[int], due: dict[int, float]) -> int:
        """Has events due now that were not, and writes that down; how many those are. `due` is the schedule's."""
        now, waiting = time.time(), [number for number in numbers if due[number] > time.monotonic()]
        found = await self._queue.read(waiting)
        later = ((n, event) for n, event in found.items() if event.progress.due_at > now)
        for_now = ((n, replace(event.progress, due_at=now), event.ending) for n, event in later)
        await asyncio.gather(*(self._queue.postpone(*each) for each in for_now))
        due |= dict.fromkeys(found, time.monotonic())
        return len(found)

    async def drain(self, seconds: float) -> None:
        """Takes nothing new and waits for what runs; what does not end is tried again by the next process."""
        self._stopping = True
        deadline = time.monotonic() + seconds
        while len(self._tasks) and time.monotonic() < deadline:
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 0.5)

    def _add(self, event: QueuedEvent, number: int, due: float) -> None:
        self._schedule.add((event.target.namespace, event.target.function), number, _monotonic(due))
        self._changed.set()

    async def _work(self, function: ScheduledFunction, number: int) -> None:
        """One turn of one event."""
        outcome = AttemptOutcome.TURNED_DOWN
        self._running[number] = function
        try:
            outcome = await self._turn(number)
        except (QueueUnavailable, KubeError) as error:
            log.warning("event %d is looked at again: %s", number, error)
            self._schedule.add(function, number, time.monotonic() + _PAUSE_S)
        except Exception:  # a fault of ours in one event must neither lose it nor end the others
            log.exception("event %d is looked at again", number)
            self._schedule.add(function, number, time.monotonic() + _FAULT_PAUSE_S)
        finally:
            del self._running[number]
            self._schedule.finished(function, outcome)
            self._changed.set()

    async def _turn(self, number: int) -> AttemptOutcome:
        event = (await self._queue.read([number])).get(number)
        if event is None:  # it was purged meanwhile
            return AttemptOutcome.SUCCEEDED
        policy = await self._policies.of(*event.target)
        if policy is None:
            await self._drop(number, event, "its function is gone")
            return AttemptOutcome.SUCCEEDED
        if event.ending is not None:
            self._look_again(number, event, await self._ends.go_on(number, event, policy, event.ending))
            return AttemptOutcome.SUCCEEDED
        now = time.time()
        looping = policy.loops_end and _chain(event) >= lineage.LIMIT
        end = before_attempt(event.progress, policy.retry, policy.reserved_concurrency, now, looping=looping)
        if end is not None:
            if looping and end.condition is DeliveryCondition.RECURSIVE_INVOCATION:
                self._metrics.recursion_dropped(event.target.namespace, event.target.function)
            self._look_again(number, event, await self._ends.end(number, event, policy, end, None))
            return AttemptOutcome.SUCCEEDED
        self._metrics.age(event.target.namespace, event.target.function, now - event.progress.accepted_at)
        result = await self._attempts.attempt(event)
        if result.gone:
            await self._drop(number, event, "its function is gone")
            return AttemptOutcome.SUCCEEDED
        await self._after(number, event, policy, result)
        return result.outcome

    async def _after(self, number: int, event: QueuedEvent, policy: EventPolicy, result: AttemptResult) -> None:
        step = after_attempt(event.progress, policy.retry, result.outcome, time.time())
        match step:
            case TryAgain(progress=progress):
                await self._queue.postpone(number, progress)
                self._look_again(number, event, progress.due_at)
            case Finish():
                self._look_again(number, event, await self._ends.end(number, event, policy, step, result.last))

    def _look_again(self, number: int, event: QueuedEvent, due: float | None) -> None:
        if due is not None:
            self._add(event, number, due)

    async def _drop(self, number: int, event: QueuedEvent, why: str) -> None:
        log.info("event %s of %s/%s is dropped: %s", event.request_id, *event.target[:2], why)
        self._metrics.dropped(event.target.namespace, event.target.function, "FunctionGone")
        await self._queue.finish(number)


def _monotonic(due: float) -> float:
    """A due time of the wall clock on the clock by which the schedule goes, which a step of the other does not move."""
    return time.monotonic() + seconds_until(due, time.time())


def _chain(event: QueuedEvent) -> int:
    """How often the chain of invocations that led to an event has run its function (§6.8)."""
    return lineage.visits(event.headers.get(TRACE, ""), lineage.mark(unqualified(event.headers[ARN])))
