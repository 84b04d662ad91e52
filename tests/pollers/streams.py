"""A stream of moto's, the poller of its mapping, and positions that outlive the poller."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiobotocore.session import AioSession
from tests.pollers.conftest import KEY, Function, SilentReport, eventually, mapping_work

from kubelambda.core.environment.component_callers import CallerRole, caller_proof
from kubelambda.core.event.destination import OutgoingRecord
from kubelambda.core.mapping.mapping_source import mapping_source
from kubelambda.core.mapping.record_filter import SourceFormat
from kubelambda.core.mapping.shard_lineage import ShardProgress
from kubelambda.core.mapping.sqs_batch import BatchRules
from kubelambda.core.mapping.stream_rules import StreamRules
from kubelambda.outbound.aws_client import ServicePlace
from kubelambda.outbound.record_sender import RecordSender
from kubelambda.outbound.service_credentials import ServiceCredentials
from kubelambda.pollers.function_invoker import FunctionInvoker
from kubelambda.pollers.mapping_view import MappingView
from kubelambda.pollers.poller_metrics import PollerMetrics
from kubelambda.pollers.shard_checkpoints import ShardCheckpoints
from kubelambda.pollers.sources.dynamodb import DynamoDbStream
from kubelambda.pollers.sources.kinesis import KinesisStream
from kubelambda.pollers.sources.source import aws_service
from kubelambda.pollers.sources.stream import StreamSource
from kubelambda.pollers.stream_delivery import StreamDelivery
from kubelambda.pollers.stream_poller import StreamPoller

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:hello"


class KeptPositions(ShardCheckpoints):
    """Stands in for the mapping's status, which the tests against a real API server have."""

    def __init__(self) -> None:
        self.positions: dict[str, ShardProgress] = {}

    async def claim(self, uid: str | None = None) -> dict[str, ShardProgress]:
        """What was written last."""
        return dict(self.positions)

    async def write(self, positions: Mapping[str, ShardProgress]) -> None:
        """Keeps the positions."""
        self.positions = dict(positions)


class KeptRecords(RecordSender):
    """Keeps what is sent to destinations; the sending itself is tested with real services."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, OutgoingRecord]] = []

    async def send(self, namespace: str, destination: str, record: OutgoingRecord) -> None:
        """Keeps the record."""
        self.sent.append((destination, record))


class StreamOfTests:
    """A stream, the poller of its mapping, and the function."""

    def __init__(self, arn: str, service_url: str, function_url: str, function: Function) -> None:
        self.arn = arn
        self.function = function
        self.kept = KeptPositions()
        self.destination = KeptRecords()
        self._place = ServicePlace("us-east-1", service_url, ServiceCredentials("tests", "tests"))
        self._function_url = function_url
        self._running: list[asyncio.Task[None]] = []

    def poll(
        self,
        read: StreamSource | None = None,
        *,
        patterns: tuple[str, ...] = (),
        on_failure: str | None = None,
        reports_failures: bool = False,
        **rules: Any,
    ) -> None:
        """Begins a poller of a mapping with these rules; of the stream, unless it is to `read` another."""
        source = mapping_source(self.arn)
        view = MappingView(
            uid="uid",
            namespace="shop",
            name="orders",
            generation=1,
            enabled=True,
            source=source,
            function="hello",
            function_arn=FUNCTION,
            endpoint_url=None,
            credentials_secret="aws",
            rules=BatchRules(),
            patterns=patterns,
            reports_failures=reports_failures,
            maximum_concurrency=None,
            stream=StreamRules(**rules),
            on_failure=on_failure,
        )
        self._running.append(asyncio.create_task(self._run(view, read)))

    async def _run(self, view: MappingView, read: StreamSource | None) -> None:
        kinesis = view.source.format is SourceFormat.KINESIS
        service = "kinesis" if kinesis else "dynamodbstreams"
        metrics = PollerMetrics()
        async with (
            FunctionInvoker(self._function_url, caller_proof(KEY, CallerRole.POLLERS)) as invoker,
            aws_service(AioSession(), service, self._place, (), service) as client,
        ):
            delivery = StreamDelivery(view, invoker, self.destination, metrics=metrics, timeout_s=lambda: 1)
            source = KinesisStream(client, self.arn, "role") if kinesis else DynamoDbStream(client, self.arn)
            work = mapping_work(view, invoker, SilentReport(), metrics)
            poller = StreamPoller(work, read or source, delivery, self.kept)
            self._poller = poller
            await poller.run()

    async def stop(self) -> None:
        """Ends the pollers as a drain does."""
        await asyncio.sleep(0)
        for task in self._running:
            if not task.done():
                self._poller.stop()
            await task
        self._running.clear()

    async def kill(self) -> None:
        """Ends the pollers in the middle of what they do, without a last word."""
        for task in self._running:
            for part in list(self._poller._running._tasks):
                part.cancel()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._running.clear()

    def numbers(self) -> list[int]:
        """What the records say that the function was given, in order, those of failed attempts too."""
        return [number(record) for record in self.function.records]


def number(record: Any) -> int:
    """What a record of a test says."""
    if "kinesis" in record:
        return int(json.loads(base64.b64decode(record["kinesis"]["data"]))["n"])
    return int(record["dynamodb"]["NewImage"]["n"]["N"])


async def settled(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Returns once `holds`, and still does a moment later."""
    await eventually(holds, seconds)
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        await asyncio.sleep(0.05)
        assert holds()
