"""Events while somebody sets the clock: due times are a wall clock's, since they outlive the process (§6.2)."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.behaviour.event.running_queue import running, until

from kubelambda.core.event.delivery import accepted
from kubelambda.events import event_worker
from kubelambda.store.event.event_queue import InvokedFunction, QueuedEvent
from kubelambda.store.event.sqlite_queue import SqliteQueue

HOUR_S = 3_600.0


class SetClock(SimpleNamespace):
    """The module `time`, whose wall clock somebody sets."""

    step = 0.0

    def time(self) -> float:
        """Seconds since the epoch, as this machine has them now."""
        return time.time() + self.step

    def monotonic(self) -> float:
        """As ever."""
        return time.monotonic()


@pytest.mark.parametrize("step", [-HOUR_S, HOUR_S])
async def test_an_event_that_waits_is_tried_when_it_was_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """Its clock is put back, or forward, while it waits: an hour's step costs it no hour, and loses it not."""
    clock = SetClock()
    monkeypatch.setattr(event_worker, "time", clock)
    async with SqliteQueue(tmp_path / "events.db") as queue, running(queue) as found:
        found.answer = lambda _: (429, {}) if len(found.attempts) == 1 else (200, {})
        await found.accept("hello", 1)
        await until(lambda: len(found.attempts) == 1 and found.worker.waiting() == {("shop", "hello"): 1})
        clock.step = step
        await found.accept("other", 2)  # whatever wakes the worker has it look at the clock again
        await until(lambda: [event for _, event in found.attempts].count(1) == 2, 60)
        await until(lambda: [event for _, event in found.attempts].count(2) == 1, 60)
        await until(lambda: found.worker.waiting() == {}, 60)


async def test_an_event_is_brought_forward_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock that was put forward it is due already: it waits for its minute all the same, until it is told."""
    clock = SetClock()
    monkeypatch.setattr(event_worker, "time", clock)
    async with SqliteQueue(tmp_path / "events.db") as queue, running(queue) as found:
        failed = {"X-Amz-Function-Error": "Unhandled"}
        found.answer = lambda _: (200, failed if len(found.attempts) == 1 else {})
        await found.accept("hello", 1)
        await until(lambda: len(found.attempts) == 1 and found.worker.waiting() == {("shop", "hello"): 1}, 60)
        clock.step = HOUR_S
        assert await found.worker.redrive([number for _, number in found.worker.numbers()]) == 1
        await until(lambda: len(found.attempts) == 2, 50)
        await until(lambda: found.worker.waiting() == {}, 60)


async def test_an_event_of_a_later_time_is_not_waited_for(tmp_path: Path) -> None:
    """The clock was put back while no process ran: what is in the queue is due an hour from now."""
    target = InvokedFunction("shop", "hello", "")
    async with SqliteQueue(tmp_path / "events.db") as queue:
        await queue.append(QueuedEvent(target, "id-1", b"1", accepted(time.time() + HOUR_S), {"x-kubelambda-arn": "a"}))
        async with running(queue) as found:
            await until(lambda: len(found.attempts) == 1, 60)
