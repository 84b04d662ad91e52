"""What a poller says of a topic of whose partitions the group gives it none (§7.5.2)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, override

from tests.pollers.conftest import eventually, mapping_work
from tests.pollers.streams import KeptRecords
from tests.pollers.topics import KeptReports, kafka_view

from kubelambda.api.reasons import Reason
from kubelambda.core.mapping.stream_rules import StartingPosition
from kubelambda.pollers.function_invoker import FunctionInvoker
from kubelambda.pollers.kafka_poller import KafkaPoller
from kubelambda.pollers.poller_metrics import PollerMetrics
from kubelambda.pollers.sources.kafka import KafkaTopic, PartitionsChanged, ReadMessage


class EmptyTopic(KafkaTopic):
    """A topic without a record, whose group gives out partitions when a test says so."""

    def __init__(self) -> None:
        self.servers = ("kafka:9092",)

    @override
    def subscribe(self, who: PartitionsChanged) -> None:
        """Nobody is told by itself."""

    @override
    async def positions(self, partitions: Sequence[int], start: StartingPosition) -> dict[int, int]:
        """The first record is the next one."""
        return dict.fromkeys(partitions, 0)

    @override
    async def ends(self, partitions: Sequence[int]) -> dict[int, int]:
        """So far none."""
        assert partitions, "a cluster is not asked for nothing"
        return dict.fromkeys(partitions, 0)

    @override
    async def read(self, partition: int, count: int, seconds: float) -> Sequence[ReadMessage]:
        """None comes."""
        await asyncio.sleep(seconds)
        return ()

    @override
    async def commit(self, offsets: Any) -> None:
        """Keeps nothing."""


@asynccontextmanager
async def member(report: KeptReports) -> AsyncIterator[KafkaPoller]:
    """A poller that has asked to be a member of the group."""
    view = kafka_view("orders", "kafka:9092")
    work = mapping_work(view, FunctionInvoker("http://127.0.0.1:1", "nobody"), report, PollerMetrics())
    poller = KafkaPoller(work, EmptyTopic(), KeptRecords())
    running = asyncio.create_task(poller.run())
    yield poller
    poller.stop()
    await running


async def test_a_member_without_a_partition_says_that_it_works_the_mapping() -> None:
    """Others of its group have them all: its state waits for a word, and there will be no other."""
    report = KeptReports()
    async with member(report) as poller:
        assert report.reason is None, "nobody knows yet which partitions it has"
        await poller.gained([])
        await eventually(lambda: report.reason is Reason.POLLING)
        assert (report.pollers, report.lag) == (0, None)


async def test_a_member_that_loses_its_partitions_says_so() -> None:
    """It does not go on to be said to read what another member reads."""
    report = KeptReports()
    async with member(report) as poller:
        await poller.gained([0])
        await eventually(lambda: report.pollers == 1)
        await poller.lost()
        await poller.gained([])
        await eventually(lambda: (report.pollers, report.lag) == (0, None))
