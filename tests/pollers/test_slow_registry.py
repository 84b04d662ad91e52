"""A partition whose records wait for their schemas, and what a registry may answer (§7.5.6)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from tests.pollers.streams import KeptRecords
from tests.pollers.topics import kafka_view

from kubelambda.core.mapping.avro_schema import UnservedSchema
from kubelambda.core.mapping.kafka_record import KafkaEnvelope
from kubelambda.core.mapping.record_filter import RecordFilter, SourceFormat
from kubelambda.core.mapping.stream_rules import StreamRecord
from kubelambda.pollers.batch_room import BatchRoom
from kubelambda.pollers.function_invoker import FunctionInvoker
from kubelambda.pollers.kafka_delivery import KafkaDelivery
from kubelambda.pollers.partition_worker import PartitionWorker
from kubelambda.pollers.poller_metrics import PollerMetrics
from kubelambda.pollers.record_decoder import DecodedRecord, RecordDecoder
from kubelambda.pollers.schemas import schema_registry
from kubelambda.pollers.schemas.schema_registry import SchemaRegistry
from kubelambda.pollers.sources.kafka import KafkaTopic
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.stream_delivery import Progress


@dataclass
class Message:
    """A record of a topic."""

    offset: int
    timestamp: int = 0
    timestamp_type: int = 0
    key: bytes | None = None
    value: bytes | None = b"value"
    headers: Sequence[tuple[str, bytes]] = ()


class FullTopic(KafkaTopic):
    """A topic with some records."""

    def __init__(self, records: int = 3) -> None:
        self.servers = ()
        self.left = [Message(offset) for offset in range(records)]

    async def read(self, partition: int, count: int, seconds: float) -> Sequence[Message]:
        """All of them, once."""
        found, self.left = self.left, []
        if not found:
            await asyncio.sleep(seconds)
        return found


class SlowDecoder(RecordDecoder):
    """One whose registry answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.begun = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def decode(self, key: bytes | None, value: bytes | None) -> DecodedRecord:
        """Counts."""
        self.asked += 1
        self.begun.set()
        await self.may_answer.wait()
        return DecodedRecord()


class LoudDecoder(RecordDecoder):
    """One whose schemas make megabytes of each record."""

    def __init__(self) -> None:
        self.read = 0

    async def decode(self, key: bytes | None, value: bytes | None) -> DecodedRecord:
        """Counts."""
        self.read += 1
        return DecodedRecord({"value": "v" * 2_000_000})


class TakingDelivery(KafkaDelivery):
    """To a function that takes every batch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batches: list[list[int]] = []

    async def deliver(self, shard: str, buffer: Progress, records: tuple[StreamRecord, ...]) -> None:
        """Keeps which came."""
        self.batches.append([int(each.sequence) for each in records])
        buffer.done(records)
        await asyncio.sleep(0)


def worker_of(
    topic: KafkaTopic,
    decoder: RecordDecoder | None = None,
    kind: type[KafkaDelivery] = KafkaDelivery,
    room: BatchRoom | None = None,
) -> PartitionWorker:
    """Of the first partition, from its beginning."""
    view = kafka_view("orders", "kafka:9092")
    metrics, envelope = PollerMetrics(), KafkaEnvelope(b"[")
    delivery = kind(
        view,
        cast("FunctionInvoker", None),
        KeptRecords(),
        topic=topic,
        partition="orders-0",
        envelope=envelope,
        metrics=metrics,
        timeout_s=lambda: 3,
        slots=asyncio.Semaphore(1),
    )
    return PartitionWorker(
        view,
        topic,
        0,
        0,
        delivery=delivery,
        envelope=envelope,
        metrics=metrics,
        room=(room or BatchRoom()).of(view, metrics),
        record_filter=RecordFilter(SourceFormat.KAFKA, ()),
        decoder=decoder,
        progressed=lambda: None,
    )


async def test_records_that_say_megabytes_wait_as_they_were_written() -> None:
    """A poller has room for an event of each partition, not for all that some bytes of each record say."""
    decoder = LoudDecoder()
    worker = worker_of(FullTopic(20), decoder, TakingDelivery)
    delivery = cast("TakingDelivery", worker._delivery)
    ahead = 0
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        while worker.position < 20:
            await asyncio.sleep(0)
            ahead = max(ahead, decoder.read - worker.position)
        worker.stop()
    assert [each for batch in delivery.batches for each in batch] == list(range(20))
    assert ahead <= 7


async def test_a_partition_that_goes_reads_no_further_records() -> None:
    """One answer of a registry is waited for, not that for each record; nothing is done of what nobody got."""
    decoder = SlowDecoder()
    worker = worker_of(FullTopic(), decoder)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await decoder.begun.wait()
        worker.stop()
        await asyncio.sleep(0.1)
        decoder.may_answer.set()
    assert (decoder.asked, worker.position) == (1, 0)


@asynccontextmanager
async def answering(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[SchemaRegistry]:
    """A registry that says of every schema what `answer` says."""
    application = web.Application()
    application.router.add_get("/schemas/ids/1", answer)
    application.router.add_get("/subjects/s/versions/{version}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        yield SchemaRegistry(session, f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


async def test_a_schema_with_all_that_it_refers_to_has_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever each of its references takes: two hundred of them took an hour."""
    monkeypatch.setattr(schema_registry, "_SCHEMA_S", 0.5)

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(0.2)
        deeper = int(request.match_info.get("version", 0)) + 1
        reference = {"name": str(deeper), "subject": "s", "version": deeper}
        return web.json_response({"schema": "{}", "references": [reference]})

    async with answering(answer) as registry:
        with pytest.raises(SourceUnreachable, match="take more than"):
            await registry.schema(1)


async def test_a_schema_with_half_a_character_is_none() -> None:
    """Its records are given up: a mapping that fails at them would begin again for ever."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"schema": '{"type": "string", "doc": "\ud800"}'})

    async with answering(answer) as registry:
        with pytest.raises(UnservedSchema, match="half a character"):
            await registry.schema(1)
