"""A topic of a real broker, the pollers of its mapping, and what they say of it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from tests.pollers.conftest import KEY, Function, mapping_work
from tests.pollers.kafka_broker import KafkaBroker
from tests.pollers.streams import FUNCTION, KeptRecords

from kubelambda.api.reasons import Reason
from kubelambda.core.environment.component_callers import CallerRole, caller_proof
from kubelambda.pollers.function_invoker import FunctionInvoker
from kubelambda.pollers.kafka_poller import KafkaPoller
from kubelambda.pollers.mapping_report import MappingReport
from kubelambda.pollers.mapping_view import MappingView, mapping_view
from kubelambda.pollers.poller_metrics import PollerMetrics
from kubelambda.pollers.record_decoder import RecordDecoder
from kubelambda.pollers.schemas.reading_processes import ReadingProcesses
from kubelambda.pollers.schemas.schema_registry import schema_registry
from kubelambda.pollers.sources.kafka import kafka_topic
from kubelambda.pollers.sources.tls_login import TlsLogin

CREATED = "2026-01-02T03:04:05Z"


class KeptReports(MappingReport):
    """Stands in for the mapping's status, which the tests against a real API server have."""

    def __init__(self) -> None:
        self.reason: Reason | None = None
        self.lag: int | None = None
        self.pollers = 0
        self.result: str | None = None
        self.troubles: list[tuple[Reason, str]] = []

    async def polling(self, note: str, *, pollers: int, lag: int | None = None, result: str | None = None) -> None:
        """Keeps what was said."""
        self.reason, self.pollers, self.lag, self.result = Reason.POLLING, pollers, lag, result

    async def trouble(self, reason: Reason, message: str, *, result: str | None = None) -> None:
        """Keeps what is wrong."""
        self.reason, self.pollers, self.result = reason, 0, result
        self.troubles.append((reason, message))


class PollerOfTests:
    """A poller that runs."""

    def __init__(self, running: asyncio.Task[None], report: KeptReports) -> None:
        self.running = running
        self.report = report
        self.poller: KafkaPoller | None = None

    async def stop(self) -> None:
        """Ends it as a drain does."""
        if self.poller is not None:
            self.poller.stop()
        await self.running

    async def kill(self) -> None:
        """Ends it in the middle of what it does, without a last word."""
        if self.poller is not None:
            for part in list(self.poller._working._tasks):
                part.cancel()
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


def kafka_view(topic: str, server: str, created: str = CREATED, **changed: Any) -> MappingView:
    """A mapping of a topic as a poller sees it; `changed` are members of its spec, None for none."""
    spec = {
        "functionName": "hello",
        "selfManagedEventSource": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [server]}},
        "topics": [topic],
        "startingPosition": "TRIM_HORIZON",
        **changed,
    }
    spec = {name: value for name, value in spec.items() if value is not None}
    metadata = {"uid": topic, "namespace": "shop", "name": "orders", "generation": 1, "creationTimestamp": created}
    status = {"observedGeneration": 1, "state": "Enabled", "functionArn": FUNCTION}
    found = mapping_view({"metadata": metadata, "spec": spec, "status": status})
    assert found is not None
    return found


class TopicOfTests:
    """A topic, the pollers of its mapping, and the function."""

    def __init__(self, broker: KafkaBroker, name: str, function: Function) -> None:
        self.broker = broker
        self.name = name
        self.function = function
        self.destination = KeptRecords()
        self.metrics = PollerMetrics()
        self._pollers: list[PollerOfTests] = []

    def view(self, listener: str = "PLAIN", created: str = CREATED, **changed: Any) -> MappingView:
        """The mapping as a poller sees it; `changed` are members of its spec."""
        changed = {"maximumBatchingWindowInSeconds": 0, **changed}
        return kafka_view(self.name, self.broker.server(listener), created, **changed)

    def poll(
        self,
        listener: str = "PLAIN",
        *,
        login: TlsLogin | None = None,
        registry_login: TlsLogin | None = None,
        **changed: Any,
    ) -> PollerOfTests:
        """Begins a poller of a mapping that differs by `changed`."""
        view, report = self.view(listener, **changed), KeptReports()
        begun: PollerOfTests

        async def run() -> None:
            proof = caller_proof(KEY, CallerRole.POLLERS)
            assert view.kafka is not None
            async with (
                FunctionInvoker(self.function.url, proof) as invoker,
                kafka_topic(view.kafka, login or TlsLogin()) as topic,
                _decoder(view, registry_login or TlsLogin()) as decoder,
            ):
                work = mapping_work(view, invoker, report, self.metrics)
                begun.poller = KafkaPoller(work, topic, self.destination, decoder=decoder)
                await begun.poller.run()

        begun = PollerOfTests(asyncio.create_task(run()), report)
        self._pollers.append(begun)
        return begun

    async def close(self) -> None:
        """Ends everything."""
        self.function.pause.set()
        for each in self._pollers:
            await each.kill()

    async def put(self, *numbers: int, partition: int | None = 0, at: datetime | None = None) -> None:
        """Writes records; of partition None each goes where its key belongs."""
        producer = self.broker.producer()
        await producer.start()
        try:
            sent = []
            for number in numbers:
                value = json.dumps({"n": number, "even": number % 2 == 0}).encode()
                milliseconds = None if at is None else int(at.timestamp() * 1000)
                sent.append(
                    await producer.send(
                        self.name, value, key=str(number).encode(), partition=partition, timestamp_ms=milliseconds
                    )
                )
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    async def committed(self, partition: int = 0, topic: str | None = None) -> int | None:
        """Where the group is."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.broker.server(), group_id=topic or self.name)
        await consumer.start()
        try:
            found: int | None = await consumer.committed(TopicPartition(self.name, partition))
            return found
        finally:
            await consumer.stop()

    async def read(self, topic: str, count: int) -> list[Any]:
        """The first records of another topic."""
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=self.broker.server(), auto_offset_reset="earliest")
        await consumer.start()
        try:
            return [await asyncio.wait_for(consumer.getone(), 60) for _ in range(count)]
        finally:
            await consumer.stop()

    @property
    def records(self) -> list[Any]:
        """Every record that the function was given, in order, those of failed attempts too."""
        return [record for event in self.function.events for found in event["records"].values() for record in found]

    def numbers(self, partition: int | None = None) -> list[int]:
        """What the records say, of one partition or of all."""
        return [
            int(json.loads(base64.b64decode(record["value"]))["n"])
            for record in self.records
            if partition in (None, record["partition"])
        ]


@asynccontextmanager
async def _decoder(view: MappingView, login: TlsLogin) -> AsyncIterator[RecordDecoder | None]:
    assert view.kafka is not None
    if view.kafka.schemas is None:
        yield None
        return
    async with schema_registry(view.kafka.schemas, login) as registry, ReadingProcesses() as processes:
        yield RecordDecoder(
            registry, view.kafka.schemas, processes, namespace=view.namespace, filtered=bool(view.patterns)
        )


def moment() -> datetime:
    """Now, as records are stamped."""
    return datetime.now(UTC)
