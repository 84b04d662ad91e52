"""A mapping of Kafka beside a plain consumer, without a cluster: `make bench-kafka`. Messages a second, and delays.

Three ways to read one topic with one client library on one broker, round by round in turn: the consumer alone, which
only commits; the consumer as one would write it, which invokes the function with each batch and then commits; and the
mapping's poller. The function is a stub in a process of its own that answers at once. The ratio that counts is the
poller's to the consumer's that invokes.
"""

import argparse
import asyncio
import base64
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from tests.pollers.kafka_broker import KafkaBroker
from tests.pollers.streams import FUNCTION, KeptRecords
from tests.pollers.topics import KeptReports

from kubelambda.pollers.batch_room import BatchRoom
from kubelambda.pollers.function_invoker import FunctionInvoker
from kubelambda.pollers.kafka_poller import KafkaPoller
from kubelambda.pollers.mapping_view import MappingView, mapping_view
from kubelambda.pollers.poller import MappingWork
from kubelambda.pollers.poller_metrics import PollerMetrics
from kubelambda.pollers.sources.kafka import kafka_topic
from kubelambda.pollers.sources.tls_login import TlsLogin

PARTITIONS = 4
VALUE_BYTES = 200
IDLE_MESSAGES = 200
"""For the delay of a message when nothing else is to do."""
STUB = """
import asyncio, json, time, uvloop
from aiohttp import web
seen, late = 0, []
async def invoke(request):
    global seen
    event = json.loads(await request.read())
    now = time.time() * 1000
    for records in event["records"].values():
        seen += len(records)
        late.extend(now - record["timestamp"] for record in records)
    return web.json_response(None)
async def told(request):
    global seen
    found, seen = {"seen": seen, "late": list(late)}, 0
    late.clear()
    return web.json_response(found)
async def main():
    application = web.Application(client_max_size=8 << 20)
    application.router.add_get("/told", told)
    application.router.add_post("/{path:.*}", invoke)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()
uvloop.run(main())
"""


class Bench:
    """One broker, one stub of the function."""

    def __init__(self, broker: KafkaBroker, url: str, session: aiohttp.ClientSession) -> None:
        self._broker = broker
        self._url = url
        self._session = session
        self._groups = 0

    async def fill(self, topic: str, count: int) -> None:
        """Writes messages to all partitions alike."""
        producer = self._broker.producer()
        await producer.start()
        value = json.dumps({"text": "x" * VALUE_BYTES}).encode()
        for number in range(count):
            await producer.send(topic, value, key=str(number).encode(), partition=number % PARTITIONS)
        await producer.stop()

    async def told(self) -> dict[str, Any]:
        """How many records the function saw since the last look, and how late each of them was, in milliseconds."""
        async with self._session.get(f"{self._url}/told") as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def consume(self, topic: str, count: int, batch: int, *, invoke: bool) -> float:
        """Messages a second of a plain consumer."""
        consumer = AIOKafkaConsumer(
            topic,
            bootstrap_servers=self._broker.server(),
            group_id=self._group(),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        await consumer.getmany(timeout_ms=100, max_records=1)
        await consumer.seek_to_beginning()
        places, begun = [TopicPartition(topic, each) for each in range(PARTITIONS)], time.monotonic()

        async def work(place: TopicPartition) -> None:
            done = 0
            while done < count // PARTITIONS:
                found = (await consumer.getmany(place, timeout_ms=1000, max_records=batch)).get(place, ())
                if found and invoke:
                    await self._invoke(topic, place.partition, found)
                if found:
                    done += len(found)
                    await consumer.commit({place: found[-1].offset + 1})

        await asyncio.gather(*(work(place) for place in places))
        took = time.monotonic() - begun
        await consumer.stop()
        return count / took

    async def _invoke(self, topic: str, partition: int, messages: Any) -> None:
        records = [
            {
                "topic": topic,
                "partition": partition,
                "offset": each.offset,
                "timestamp": each.timestamp,
                "key": base64.b64encode(each.key).decode(),
                "value": base64.b64encode(each.value).decode(),
            }
            for each in messages
        ]
        event = json.dumps({"records": {f"{topic}-{partition}": records}})
        async with self._session.post(f"{self._url}/invoke", data=event) as answer:
            await answer.read()

    def _view(self, topic: str, batch: int) -> MappingView:
        spec = {
            "functionName": "hello",
            "selfManagedEventSource": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [self._broker.server()]}},
            "topics": [topic],
            "startingPosition": "TRIM_HORIZON",
            "maximumBatchingWindowInSeconds": 0,
            "batchSize": batch,
            "selfManagedKafkaEventSourceConfig": {"consumerGroupId": self._group()},
        }
        metadata = {"uid": topic, "namespace": "shop", "name": "orders", "generation": 1}
        metadata["creationTimestamp"] = "2026-01-02T03:04:05Z"
        status = {"observedGeneration": 1, "state": "Enabled", "functionArn": FUNCTION}
        found = mapping_view({"metadata": metadata, "spec": spec, "status": status})
        assert found is not None
        return found

    async def poll(self, topic: str, count: int, batch: int) -> float:
        """Messages a second of the mapping's poller, until the last of them was at the function."""

        async def all_seen() -> float:
            begun, seen = time.monotonic(), 0
            while seen < count:
                await asyncio.sleep(0.02)
                seen += (await self.told())["seen"]
            return count / (time.monotonic() - begun)

        return await self.polling(topic, batch, all_seen)

    async def polling(self, topic: str, batch: int, work: Callable[[], Awaitable[float]]) -> float:
        """What `work` says while the poller runs; it begins once partitions are assigned."""
        view = self._view(topic, batch)
        assert view.kafka is not None
        async with FunctionInvoker(self._url, "proof") as invoker, kafka_topic(view.kafka, TlsLogin()) as source:
            metrics = PollerMetrics()
            room = BatchRoom().of(view, metrics)
            mapping = MappingWork(view, invoker, KeptReports(), metrics, lambda: 3, room)
            poller = KafkaPoller(mapping, source, KeptRecords())
            running = asyncio.create_task(poller.run())
            while not poller.partitions:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.001)
            found = await work()
            poller.stop()
            await running
        return found

    async def delays(self, topic: str) -> list[float]:
        """Milliseconds from a message's time stamp to the function, one message at a time."""
        producer = self._broker.producer()
        await producer.start()
        found: list[float] = []

        async def send() -> float:
            await self.told()
            for _ in range(IDLE_MESSAGES):
                await producer.send_and_wait(topic, b"{}", key=b"k")
                await asyncio.sleep(0.02)
            await asyncio.sleep(1)
            found.extend((await self.told())["late"])
            return 0.0

        await self.polling(topic, 100, send)
        await producer.stop()
        return found

    def _group(self) -> str:
        self._groups += 1
        return f"group-{self._groups}"


async def measure(folder: Path, messages: int, batch: int, rounds: int) -> None:
    """Prints the table."""
    broker = KafkaBroker(folder)
    broker.start()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", STUB, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(await process.stdout.readline())}"
        async with aiohttp.ClientSession() as session:
            bench = Bench(broker, url, session)
            await broker.create_topic("orders", PARTITIONS)
            await bench.fill("orders", messages)
            await bench.consume("orders", messages, batch, invoke=True)  # the broker's first group takes long
            await bench.told()
            figures: dict[str, list[float]] = {"consumer alone": [], "consumer that invokes": [], "poller": []}
            for _ in range(rounds):
                figures["consumer alone"].append(await bench.consume("orders", messages, batch, invoke=False))
                figures["consumer that invokes"].append(await bench.consume("orders", messages, batch, invoke=True))
                await bench.told()
                figures["poller"].append(await bench.poll("orders", messages, batch))
            for name, found in figures.items():
                print(f"{name:<24}{statistics.median(found):>8.0f} messages/s  ({' '.join(f'{n:.0f}' for n in found)})")
            ratio = statistics.median(figures["poller"]) / statistics.median(figures["consumer that invokes"])
            print(f"{'ratio':<24}{ratio:>8.2f}  at batches of {batch}, {messages} messages in {PARTITIONS} partitions")
            await broker.create_topic("idle", 1)
            late = sorted(await bench.delays("idle"))
            print(
                f"{'delay when idle':<24}{statistics.median(late):>8.1f} ms p50, {late[int(len(late) * 0.95)]:.1f} p95"
            )
    finally:
        process.kill()
        await process.wait()
        broker.kill()


def main() -> None:
    """What is measured may be smaller."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), arguments.messages, arguments.batch, arguments.rounds))


if __name__ == "__main__":
    main()
