"""Room for batches: who would hold too much waits, and is woken."""

import asyncio

from kubelambda.core.mapping.held_bytes import ByteLimits
from kubelambda.pollers.batch_room import BatchRoom, HeldBatch, MappingRoom

LIMITS = ByteLimits(account=100_000, all_accounts=1_000_000)


class Mapping:
    """A mapping of tests, and how many of its batches wait."""

    def __init__(self, room: BatchRoom, name: str, account: str = "a") -> None:
        self.waiting = 0
        self.room = MappingRoom(room, account, name, self._told)
        self.ended = asyncio.Event()

    def _told(self, waiting: int) -> None:
        self.waiting = waiting

    async def begin(self) -> HeldBatch:
        """A batch, once there is room for it."""
        batch = self.room.batch()
        await batch.begin(self.ended)
        return batch


async def turns(count: int = 10) -> None:
    """Lets others go on."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_mapping_waits_while_it_holds_as_much_as_it_leaves() -> None:
    """And goes on, in order, as its batches are done."""
    mapping = Mapping(BatchRoom(LIMITS), "m")
    first = await mapping.begin()
    first.now(60_000)
    second, third = asyncio.ensure_future(mapping.begin()), asyncio.ensure_future(mapping.begin())
    await turns()
    assert mapping.waiting == 2
    assert not second.done()
    first.now(0)
    await turns()
    assert second.done()
    (await second).now(60_000)
    assert mapping.waiting in (0, 1)
    (await second).now(0)
    await third
    assert mapping.waiting == 0


async def test_mappings_that_wait_are_served_one_after_the_other() -> None:
    """Who asked for much waits behind itself."""
    room = BatchRoom(LIMITS)
    full = await Mapping(room, "full").begin()
    full.now(200_000)
    order: list[str] = []

    async def work(mapping: Mapping, name: str) -> None:
        batch = await mapping.begin()
        order.append(name)
        batch.now(100_000)
        await turns(3)
        batch.now(0)

    many, few = Mapping(room, "many"), Mapping(room, "few")
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(work(many, "many"))
        group.create_task(work(few, "few"))
        await turns()
        assert order == []
        full.now(0)
    assert "few" in order[:2]
    assert len(order) == 4


async def test_who_is_to_end_or_is_cancelled_leaves_no_place_behind() -> None:
    """What was expected of it is nobody's."""
    room = BatchRoom(LIMITS)
    mapping, other = Mapping(room, "m"), Mapping(room, "o")
    full = await other.begin()
    full.now(200_000)
    ending, cancelled = asyncio.ensure_future(mapping.begin()), asyncio.ensure_future(mapping.begin())
    await turns()
    assert mapping.waiting == 2
    cancelled.cancel()
    mapping.ended.set()
    await asyncio.wait([ending, cancelled], timeout=60)
    assert mapping.waiting == 0
    assert ending.done()
    full.now(0)
    with mapping.room.batch() as batch:
        await batch.begin(mapping.ended)
    assert room.admits(mapping.room)


async def test_another_account_never_waits_for_what_one_holds_for_long() -> None:
    """A batch that is tried for days, of as many bytes as there are."""
    room = BatchRoom(LIMITS)
    poison = await Mapping(room, "poison").begin()
    poison.now(5_000_000)
    await asyncio.wait_for(Mapping(room, "m", account="b").begin(), 60)
