"""The work queue: each key once at a time, none forgotten, none in another's way."""

import asyncio
from collections.abc import Awaitable, Callable

from kubelambda.controllers.machinery.work_queue import BackOff, Key, Outcome, WorkQueue

GOOD, BAD = Key("Function", "a", "good"), Key("Function", "a", "bad")


class Bench:
    """A queue at work, and what it did."""

    def __init__(self) -> None:
        self.observed: list[tuple[str, str]] = []
        self.queue = WorkQueue(observe=lambda kind, outcome, _: self.observed.append((kind, outcome)))
        self.done: list[Key] = []

    async def run(
        self, reconcile: Callable[[Key], Awaitable[Outcome]], until: Callable[[], bool], workers: int = 2
    ) -> None:
        """Works until `until` holds."""

        async def recorded(key: Key) -> Outcome:
            try:
                return await reconcile(key)
            finally:
                if not stopped:
                    self.done.append(key)

        stopped = False
        working = asyncio.create_task(self.queue.run(recorded, workers))
        async with asyncio.timeout(10):
            while not until():  # noqa: ASYNC110 - the test looks, nobody tells
                await asyncio.sleep(0.001)
        stopped = True
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_a_key_that_is_added_often_is_worked_on_once() -> None:
    """Keys carry no event, so one look serves them all."""
    bench = Bench()
    for _ in range(5):
        bench.queue.add(GOOD)

    async def reconcile(key: Key) -> None:
        await asyncio.sleep(0)

    await bench.run(reconcile, lambda: len(bench.queue) == 0 and bool(bench.done))
    assert bench.done == [GOOD]


async def test_a_change_during_the_work_is_not_missed() -> None:
    """The key is worked on again, after the first look and never beside it."""
    bench = Bench()
    inside = 0
    most = 0

    async def reconcile(key: Key) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        if not bench.done:
            bench.queue.add(key)
        await asyncio.sleep(0.01)
        inside -= 1

    bench.queue.add(GOOD)
    await bench.run(reconcile, lambda: len(bench.done) == 2)
    assert most == 1


async def test_a_key_that_fails_is_tried_again_ever_later() -> None:
    """And says so in the metrics; another key is not delayed by it."""
    bench = Bench()

    async def reconcile(key: Key) -> None:
        if key == BAD:
            raise RuntimeError("no")

    bench.queue.add(BAD)
    bench.queue.add(GOOD)
    await bench.run(reconcile, lambda: len(bench.done) == 2)
    assert ("Function", "error") in bench.observed
    assert len(bench.queue) == 1
    pauses = [bench.queue._next(BAD, BackOff()) or 0 for _ in range(12)]
    assert pauses[0] <= 2
    assert 150 <= pauses[-1] <= 300


async def test_a_bounded_pause_stays_bounded() -> None:
    """However often it was tried, and success makes the failures forgotten."""
    bench = Bench()
    for _ in range(20):
        pause = bench.queue._next(BAD, BackOff(30.0))
        assert pause is not None
        assert pause <= 30
    bench.queue._next(BAD, None)
    assert (bench.queue._next(BAD, BackOff()) or 0) <= 1


async def test_a_slow_key_leaves_the_other_workers_alone() -> None:
    """One worker waits, the other works on, also on keys that become due meanwhile."""
    bench = Bench()
    release = asyncio.Event()

    async def reconcile(key: Key) -> None:
        if key == BAD:
            bench.queue.add(BAD)
            await release.wait()

    bench.queue.add(BAD)
    for index in range(5):
        bench.queue.add(Key("Function", "a", str(index)), 0.01 * index)
    await bench.run(reconcile, lambda: len(bench.done) == 5)
    assert BAD not in bench.done


async def test_the_sooner_time_wins() -> None:
    """A change brings a key forward that was due later; a later time does not put it off."""
    bench = Bench()
    bench.queue.add(GOOD, 100)
    bench.queue.add(GOOD, 0)
    bench.queue.add(GOOD, 100)

    async def reconcile(key: Key) -> None:
        await asyncio.sleep(0)

    await bench.run(reconcile, lambda: bench.done == [GOOD])
    assert len(bench.queue) == 0


async def test_age_is_that_of_the_longest_waiting_key() -> None:
    """What liveness looks at; keys that are due later do not count."""
    bench = Bench()
    bench.queue.add(GOOD, 100)
    assert bench.queue.oldest_age() == 0
    bench.queue.add(BAD)
    await asyncio.sleep(0.02)
    assert bench.queue.oldest_age() >= 0.02


async def test_a_flood_is_slowed_down() -> None:
    """Beyond the burst, keys are started at the queue's rate."""
    bench = Bench()
    for index in range(1000):
        bench.queue.add(Key("Function", "a", str(index)))

    async def reconcile(key: Key) -> None:
        await asyncio.sleep(0)

    await bench.run(reconcile, lambda: len(bench.done) >= 200)
    await asyncio.sleep(0)
    assert len(bench.done) < 1000


async def test_what_a_key_waits_for_may_be_cancelled_and_the_worker_goes_on() -> None:
    """It would end as cancelled, which no group of tasks complains about: nobody would work any more."""
    bench = Bench()

    async def reconcile(key: Key) -> None:
        if key == BAD:
            elsewhere: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            elsewhere.cancel()
            await elsewhere

    bench.queue.add(BAD)
    bench.queue.add(GOOD, 0.01)
    await bench.run(reconcile, lambda: bench.done.count(BAD) == 2, workers=1)
    assert GOOD in bench.done
    assert bench.observed[0] == ("Function", "error")
