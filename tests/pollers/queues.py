"""A queue of a real broker, the poller of its mapping, and who puts messages into it."""

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import IPv4Network
from typing import Any

import aiormq
import stompman
from aiormq import spec
from tests.pollers.brokers import PASSWORD, USER, ActiveMq, RabbitMq
from tests.pollers.conftest import KEY, Function, SilentReport, mapping_work
from yarl import URL

from kubelambda.core.environment.component_callers import CallerRole, caller_proof
from kubelambda.core.mapping.mapping_source import mapping_source
from kubelambda.core.mapping.mq_place import BrokerEngine, MqPlace
from kubelambda.core.mapping.sqs_batch import BatchRules
from kubelambda.pollers.function_invoker import FunctionInvoker
from kubelambda.pollers.mapping_view import MappingView
from kubelambda.pollers.mq_poller import SENT_BYTES, MqPoller
from kubelambda.pollers.poller_metrics import PollerMetrics
from kubelambda.pollers.share_ledger import ShareLedger
from kubelambda.pollers.sources.activemq import active_queue
from kubelambda.pollers.sources.mq_login import MqLogin
from kubelambda.pollers.sources.mq_queue import MqQueue
from kubelambda.pollers.sources.rabbitmq import rabbit_queue
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable

ARN = "arn:aws:mq:us-east-1:123456789012:broker:shop:b-1"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:hello"
LOGIN = MqLogin(USER, PASSWORD)


class QueueOfTests:
    """A queue of its own for a test."""

    def __init__(self, broker: RabbitMq | ActiveMq, function: Function) -> None:
        self.broker = broker
        self.function = function
        self.name = f"q-{uuid.uuid4().hex[:8]}"
        self.report = SilentReport()
        self.metrics = PollerMetrics()
        self.ahead = ShareLedger(SENT_BYTES)
        self.faults: list[SourceUnreachable] = []
        self._running: list[asyncio.Task[None]] = []
        self._pollers: list[MqPoller] = []

    @property
    def rabbit(self) -> bool:
        """Whether the broker is RabbitMQ."""
        return isinstance(self.broker, RabbitMq)

    def place(self, **changed: Any) -> MqPlace:
        """Where it is, but for what is `changed`."""
        known: dict[str, Any] = {
            "engine": BrokerEngine.RABBITMQ if self.rabbit else BrokerEngine.ACTIVEMQ,
            "host": "127.0.0.1",
            "port": self.broker.port,
            "tls": False,
            "queue": self.name,
            "virtual_host": RabbitMq.virtual_host if self.rabbit else "/",
        }
        return MqPlace(**{**known, **changed})

    def opened(
        self, place: MqPlace | None = None, login: MqLogin = LOGIN, refused: Sequence[IPv4Network] = ()
    ) -> AbstractAsyncContextManager[MqQueue]:
        """The queue, as a poller opens it."""
        open_queue: Any = rabbit_queue if self.rabbit else active_queue
        found: AbstractAsyncContextManager[MqQueue] = open_queue(ARN, place or self.place(), login, refused)
        return found

    def poll(self, *, again: bool = False, **changed: Any) -> asyncio.Task[None]:
        """Begins a poller of a mapping that differs by `changed`; `again`, as a supervisor does, when it failed."""
        view: dict[str, Any] = {
            "uid": "uid",
            "namespace": "shop",
            "name": "orders",
            "generation": 1,
            "enabled": True,
            "source": mapping_source(ARN),
            "function": "hello",
            "function_arn": FUNCTION,
            "endpoint_url": None,
            "credentials_secret": None,
            "rules": BatchRules(100, 0.5),
            "patterns": (),
            "reports_failures": False,
            "maximum_concurrency": None,
            **changed,
        }
        self._running.append(asyncio.create_task(self._poll(MappingView(**view), again=again)))
        return self._running[-1]

    async def _poll(self, view: MappingView, *, again: bool) -> None:
        async with FunctionInvoker(self.function.url, caller_proof(KEY, CallerRole.POLLERS)) as invoker:
            while True:
                try:
                    async with self.opened() as queue:
                        work = mapping_work(view, invoker, self.report, self.metrics)
                        poller = MqPoller(work, queue, self.ahead)
                        self._pollers.append(poller)
                        await poller.run()
                        return
                except SourceUnreachable as fault:
                    self.faults.append(fault)
                    if not again:
                        raise
                    await asyncio.sleep(0.2)

    def stop(self) -> None:
        """Asks the pollers to end."""
        for poller in self._pollers:
            poller.stop()

    async def kill(self) -> None:
        """Ends the pollers in the middle of what they do, without a last word."""
        for poller in self._pollers:
            for part in (*poller._deliveries._tasks, *poller._background._tasks):
                part.cancel()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()
        self._pollers.clear()

    async def close(self) -> None:
        """Ends everything."""
        self.function.pause.set()
        self.stop()
        for task in self._running:
            if not task.done() and self.faults:
                task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def send(self, *bodies: bytes, **properties: Any) -> None:
        """Puts messages into the queue, one after the other; each is kept when it returns."""
        if self.rabbit:
            async with _rabbit_channel(self.broker.port) as channel:
                for body in bodies:
                    about = spec.Basic.Properties(**{"delivery_mode": 2, **properties})
                    await channel.basic_publish(body, routing_key=self.name, properties=about)
            return
        server = stompman.ConnectionParameters("127.0.0.1", self.broker.port, USER, PASSWORD.replace("%", "%25"))
        text = properties.pop("text", True)
        # As patient as the poller: what is sent anew to a broker that stood still may be there twice.
        patience: dict[str, Any] = {"connect_timeout": 60, "connection_confirmation_timeout": 60}
        async with stompman.Client([server], heartbeat=stompman.Heartbeat(30_000, 30_000), **patience) as client:
            for body in bodies:
                headers = {"persistent": "true", **properties.get("headers", {})}
                destination = f"/queue/{self.name}"
                await client.send(body, destination, headers=headers, add_content_length=not text, receipt_timeout=60)

    async def left(self, queue: str | None = None) -> list[bytes]:
        """What is in a queue, which it then is not any more."""
        found = []
        async with self.opened(self.place(queue=queue or self.name)) as source:
            await source.begin(1000)
            while (message := await source.receive(1.0)) is not None:
                found.append(base64.b64decode(message.record["data"]))
                await source.done([message])
        return found

    @property
    def records(self) -> list[Any]:
        """All messages that the function was given, in the order in which they came."""
        return [record for event in self.function.events for record in records_of(event)]

    @property
    def sizes(self) -> list[int]:
        """How many messages each batch had that the function was given."""
        return [len(records_of(event)) for event in self.function.events]

    @property
    def bodies(self) -> list[bytes]:
        """What they say."""
        return [base64.b64decode(record["data"]) for record in self.records]

    @property
    def sent(self) -> int:
        """Messages that the broker has sent to the poller."""
        return self.count("polled") + sum(len(poller._queue._inbox) for poller in self._pollers)

    def count(self, what: str) -> int:
        """A count of the poller's metrics."""
        sample = f'kubelambda_mapping_events_total{{mapping="orders",namespace="shop",what="{what}"}} '
        lines = [line for line in self.metrics.page().decode().splitlines() if line.startswith(sample)]
        return int(float(lines[0].rpartition(" ")[2])) if lines else 0


def records_of(event: Any) -> list[Any]:
    """The messages of an event."""
    if event["eventSource"] == "aws:mq":
        return list(event["messages"])
    ((_, messages),) = event["rmqMessagesByQueue"].items()
    return list(messages)


@asynccontextmanager
async def _rabbit_channel(port: int) -> AsyncIterator[Any]:
    path = "/" + RabbitMq.virtual_host.replace("/", "%2F")
    url = URL.build(scheme="amqp", user=USER, password=PASSWORD, host="127.0.0.1", port=port, path=path)
    connection = await aiormq.connect(url)
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def make_queue(queue: QueueOfTests, **kind: Any) -> None:
    """RabbitMQ's queues are made by somebody, as a `kind` of queue; ActiveMQ's by whoever comes first."""
    if queue.rabbit:
        async with _rabbit_channel(queue.broker.port) as channel:
            await channel.queue_declare(queue.name, durable=True, **kind)


async def remove_queue(queue: QueueOfTests) -> None:
    """A queue of RabbitMQ, with whoever reads it."""
    async with _rabbit_channel(queue.broker.port) as channel:
        await channel.queue_delete(queue.name)
