"""Partitions and shards whose account holds what memory it may have: nothing is read until it lets go (§7.4, §7.5)."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest
from tests.pollers.conftest import eventually
from tests.pollers.streams import KeptRecords
from tests.pollers.test_slow_registry import FullTopic, Message, TakingDelivery, worker_of
from tests.pollers.topics import kafka_view

from kubelambda.core.mapping.held_bytes import ByteLimits
from kubelambda.core.mapping.record_filter import RecordFilter, SourceFormat
from kubelambda.core.mapping.shard_lineage import Shard, ShardProgress
from kubelambda.core.mapping.stream_rules import StartingPosition, StreamRecord, StreamRules
from kubelambda.pollers import stream_delivery
from kubelambda.pollers.batch_room import BatchRoom, HeldBatch
from kubelambda.pollers.function_invoker import FunctionInvoker, InvokeOutcome, InvokeResult
from kubelambda.pollers.poller_metrics import PollerMetrics
from kubelambda.pollers.shard_worker import ShardWorker
from kubelambda.pollers.sources.stream import Reading, ReadRecord, StreamSource
from kubelambda.pollers.stream_delivery import Progress, StreamDelivery

VIEW = kafka_view("orders", "kafka:9092")
METRICS = PollerMetrics()


class CountedTopic(FullTopic):
    """Counts how often it is read."""

    reads = 0

    async def read(self, partition: int, count: int, seconds: float) -> Sequence[Message]:
        """All of them, once."""
        self.reads += 1
        return await super().read(partition, count, seconds)


class EndlessShard(StreamSource):
    """A shard with more records whenever it is read, of half a megabyte each."""

    interval_s = 0.0

    def __init__(self) -> None:
        self.reads = 0
        self.next = 0

    async def shards(self) -> list[Shard]:
        """One."""
        return [Shard("shard", ())]

    async def begin(self, shard: str, position: StartingPosition) -> str:
        """At its begin."""
        return "iterator"

    async def go_on(self, shard: str, sequence: str) -> str:
        """Behind a record."""
        self.next = int(sequence) + 1
        return "iterator"

    async def read(self, shard: str, iterator: str) -> Reading:
        """Four records."""
        first, self.next, self.reads = self.next, self.next + 4, self.reads + 1
        made = [
            ReadRecord(f"{n:05}", "key", datetime.now(UTC), {"number": n, "data": "x" * 500_000})
            for n in range(first, first + 4)
        ]
        return Reading(made, iterator)

    @staticmethod
    def _at(sequence: str) -> dict[str, str]:
        return {}


class StuckDelivery(StreamDelivery):
    """To a function that answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(VIEW, cast("FunctionInvoker", None), KeptRecords(), metrics=METRICS, timeout_s=lambda: 3)
        self.delivered = 0
        self.may_answer = asyncio.Event()

    async def deliver(self, shard: str, buffer: Progress, records: tuple[StreamRecord, ...]) -> None:
        """Waits, and is done."""
        await self.may_answer.wait()
        self.delivered += len(records)
        buffer.done(records)


class Poisoned(FunctionInvoker):
    """A function that fails until it is mended. `seen` has the numbers of the records that it took."""

    def __init__(self) -> None:
        self.attempts = 0
        self.mended = False
        self.seen: list[int] = []

    async def invoke(self, arn: str, event: bytes, timeout_s: float, trace: str = "") -> InvokeResult:
        """One attempt."""
        self.attempts += 1
        if not self.mended:
            return InvokeResult(InvokeOutcome.FUNCTION_ERROR)
        self.seen += [int(record["number"]) for record in json.loads(event)["Records"]]
        return InvokeResult(InvokeOutcome.SUCCEEDED)


@pytest.fixture
def room() -> BatchRoom:
    """A megabyte for an account."""
    return BatchRoom(ByteLimits(account=1 << 20, all_accounts=4 << 20))


async def filled(room: BatchRoom) -> HeldBatch:
    """What another mapping of the account holds."""
    other = room.of(kafka_view("others", "kafka:9092"), METRICS).batch()
    await other.begin(asyncio.Event())
    other.now(2 << 20)
    return other


async def test_a_partition_is_not_read_until_there_is_room(room: BatchRoom) -> None:
    """It goes on when others are done; one that is to end meanwhile does."""
    topics, others = [CountedTopic(20), CountedTopic(20)], await filled(room)
    workers = [worker_of(topic, kind=TakingDelivery, room=room) for topic in topics]
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        ending, going_on = (group.create_task(worker.run()) for worker in workers)
        await asyncio.sleep(0.05)
        assert [topic.reads for topic in topics] == [0, 0]
        workers[0].stop()
        await ending
        others.now(0)
        await eventually(lambda: workers[1].position == 20)
        workers[1].stop()
        await going_on
    assert topics[0].reads <= 1
    assert (workers[0].position, room.admits(room.of(VIEW, METRICS))) == (0, True)


async def test_a_shard_is_not_read_on_while_what_it_holds_is_too_much(room: BatchRoom) -> None:
    """The next records are read once some are done."""
    source, delivery = EndlessShard(), StuckDelivery()
    worker = ShardWorker(
        VIEW,
        "shard",
        ShardProgress(),
        source=source,
        delivery=delivery,
        metrics=METRICS,
        room=room.of(VIEW, METRICS),
        record_filter=RecordFilter(SourceFormat.KINESIS, ()),
    )
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await eventually(lambda: source.reads == 1)
        await asyncio.sleep(0.5)  # it would be read five times in a second
        assert source.reads == 1
        delivery.may_answer.set()
        await eventually(lambda: source.reads >= 3)
        delivery.ended.set()
    assert delivery.delivered >= 4
    assert room.admits(room.of(VIEW, METRICS))


async def test_a_shard_whose_batch_fails_for_long_keeps_no_more_than_the_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was read ahead is given back to others of its account; it comes again, once and in order, when it can be."""
    monkeypatch.setattr(stream_delivery, "pause_s", lambda _: 0.05)
    source, function, room = EndlessShard(), Poisoned(), BatchRoom()
    delivery = StreamDelivery(VIEW, function, KeptRecords(), metrics=METRICS, timeout_s=lambda: 3)
    mapping = room.of(VIEW, METRICS)
    worker = ShardWorker(
        replace(VIEW, stream=StreamRules(size=2)),
        "shard",
        ShardProgress(),
        source=source,
        delivery=delivery,
        metrics=METRICS,
        room=mapping,
        record_filter=RecordFilter(SourceFormat.KINESIS, ()),
    )
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await eventually(lambda: function.attempts > 20)
        reads, held = source.reads, room._held._total
        assert held < 2_000_000
        await eventually(lambda: function.attempts > 40)
        assert (source.reads, room._held._total) == (reads, held)
        function.mended = True
        await eventually(lambda: len(function.seen) > 12)
        delivery.ended.set()
    assert function.seen == list(range(len(function.seen)))
    assert room._held._total == 0
