"""Room that is shared fairly."""

import asyncio
import random
from collections import Counter

import pytest

from kubelambda.kube.fair_slots import FairSlots


async def test_one_that_asks_for_much_is_in_nobody_elses_way() -> None:
    """Its share is full; the next one is served at once."""
    slots: FairSlots[str] = FairSlots(per_key=2, total=8)
    mine = [slots.request("greedy") for _ in range(100)]
    assert sum(ticket.done() for ticket in mine) == 2
    assert slots.request("modest").done()


async def test_those_that_wait_are_served_one_key_after_the_other() -> None:
    """A hundred requests of one key do not stand in front of one of another."""
    slots: FairSlots[str] = FairSlots(per_key=4, total=1)
    first = slots.request("a")
    waiting = [slots.request("a") for _ in range(100)]
    other = slots.request("b")
    slots.release("a", first)
    assert waiting[0].done() != other.done()
    if waiting[0].done():
        slots.release("a", waiting[0])
    assert other.done()


async def test_who_gives_up_leaves_the_queue() -> None:
    """A cancelled wait takes no slot, and gives none back."""
    slots: FairSlots[str] = FairSlots(per_key=1)
    entered = asyncio.Event()

    async def wait() -> None:
        async with slots.hold("a"):
            entered.set()
            await asyncio.sleep(3600)

    first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
    await entered.wait()
    second.cancel()
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert slots.used == 0
    assert slots.request("a").done()


@pytest.mark.parametrize("seed", range(30))
async def test_no_history_breaks_the_limits_or_loses_a_slot(seed: int) -> None:
    """Random requests, releases and cancellations: limits hold, and nobody waits while there is room."""
    chance = random.Random(seed)
    slots: FairSlots[int] = FairSlots(per_key=3, total=7)
    held: list[tuple[int, asyncio.Future[None]]] = []
    for _ in range(400):
        if held and chance.random() < 0.5:
            slots.release(*held.pop(chance.randrange(len(held))))
        else:
            key = chance.randrange(5)
            held.append((key, slots.request(key)))
        used = Counter(key for key, ticket in held if ticket.done())
        assert slots.used == used.total() <= 7
        assert max(used.values(), default=0) <= 3
        if used.total() < 7:
            assert all(ticket.done() or used[key] == 3 for key, ticket in held)
    for key, ticket in held:
        slots.release(key, ticket)
    assert slots.used == 0
