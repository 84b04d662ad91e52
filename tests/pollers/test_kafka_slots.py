"""Batches of several partitions that wait for a provisioned poller (§7.5.3)."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, cast

from tests.pollers.streams import KeptRecords
from tests.pollers.topics import kafka_view

from kubelambda.core.mapping.kafka_record import KafkaEnvelope
from kubelambda.core.mapping.stream_rules import StreamRecord
from kubelambda.pollers.function_invoker import FunctionInvoker, InvokeOutcome, InvokeResult
from kubelambda.pollers.kafka_delivery import KafkaDelivery
from kubelambda.pollers.poller_metrics import PollerMetrics


class SlowFunction(FunctionInvoker):
    """A function that ends when it is told to."""

    def __init__(self) -> None:
        self.invoked = 0
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def invoke(self, *_: Any, **__: Any) -> InvokeResult:
        """Counts."""
        self.invoked += 1
        self.begun.set()
        await self.may_end.wait()
        return InvokeResult(InvokeOutcome.SUCCEEDED)


class Kept:
    """What is done."""

    def __init__(self) -> None:
        self.sequences: list[str] = []

    def held_up(self, failures: int) -> None:
        """Nothing."""

    def done(self, records: Iterable[StreamRecord]) -> None:
        """Keeps them."""
        self.sequences += [record.sequence for record in records]


async def test_a_batch_that_waits_for_a_slot_is_not_begun_once_its_partition_goes() -> None:
    """The group waits for us meanwhile: what is at the function gets its answer, and nothing else begins."""
    view = kafka_view("orders", "kafka:9092")
    function, slots, kept = SlowFunction(), asyncio.Semaphore(1), [Kept() for _ in range(4)]
    deliveries = [
        KafkaDelivery(
            view,
            function,
            KeptRecords(),
            topic=cast("Any", None),
            partition=f"orders-{number}",
            envelope=KafkaEnvelope(b"["),
            metrics=PollerMetrics(),
            timeout_s=lambda: 3,
            slots=slots,
        )
        for number in range(4)
    ]
    records = (StreamRecord("5", "", datetime.now(UTC), b"{}"),)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number, each in enumerate(deliveries):
            group.create_task(each.deliver(f"orders-{number}", kept[number], records))
        await function.begun.wait()
        for each in deliveries:
            each.ended.set()
        function.may_end.set()
    assert function.invoked == 1
    assert [each.sequences for each in kept] == [["5"], [], [], []]
