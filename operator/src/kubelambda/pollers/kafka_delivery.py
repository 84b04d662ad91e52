"""Invokes the function with batches of a partition of Kafka, and tells of those that are given up (§7.5.3)."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any

from kubelambda.core.mapping.batch_attempts import StreamBatch
from kubelambda.core.mapping.kafka_failure import (
    FailedKafkaBatch,
    destination_topic,
    outgoing_kafka_record,
    topic_messages,
)
from kubelambda.core.mapping.kafka_record import KafkaEnvelope, failed_offsets
from kubelambda.core.mapping.stream_failure import FailedBatch
from kubelambda.core.mapping.stream_rules import StreamRecord
from kubelambda.outbound.record_sender import DestinationFailed, RecordSender
from kubelambda.pollers.function_invoker import FunctionInvoker, InvokeOutcome, InvokeResult
from kubelambda.pollers.mapping_view import MappingView
from kubelambda.pollers.poller_metrics import PollerMetrics
from kubelambda.pollers.sources.kafka import KafkaTopic
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.stream_delivery import StreamDelivery


class KafkaDelivery(StreamDelivery):
    """Deliveries of one partition, which events call `partition`."""

    def __init__(
        self,
        view: MappingView,
        invoker: FunctionInvoker,
        sender: RecordSender,
        *,
        topic: KafkaTopic,
        partition: str,
        envelope: KafkaEnvelope,
        metrics: PollerMetrics,
        timeout_s: Callable[[], int],
        slots: AbstractAsyncContextManager[Any],
    ) -> None:
        """An invocation waits until it has one of `slots`, which the partitions of the mapping share."""
        super().__init__(view, invoker, sender, metrics=metrics, timeout_s=timeout_s)
        self._topic = topic
        self._partition = partition
        self._envelope = envelope
        self._slots = slots

    async def invoke(self, event: bytes, records: tuple[StreamRecord, ...]) -> InvokeResult:
        """One attempt, once there is room for it; none any more when the mapping is to end meanwhile."""
        async with self._slots:
            if self.ended.is_set():
                return InvokeResult(InvokeOutcome.TURNED_DOWN)
            return await super().invoke(event, records)

    def event(self, records: tuple[StreamRecord, ...]) -> bytes:
        """By partition, and with the cluster's servers."""
        return self._envelope.event(records)

    def failed_of(self, result: InvokeResult, batch: StreamBatch) -> frozenset[str]:
        """A function names records by partition and offset."""
        return failed_offsets(result.payload, self._partition, [record.sequence for record in batch.records])

    async def send(self, failed: FailedBatch, destination: str) -> None:
        """A topic of the same cluster gets a message for each record."""
        batch, now = FailedKafkaBatch(failed, self._topic.servers, self._envelope), datetime.now(UTC)
        topic = destination_topic(destination)
        if topic is None:
            await self._sender.send(self._view.namespace, destination, outgoing_kafka_record(batch, destination, now))
            return
        try:
            await self._topic.send(topic, topic_messages(batch, now))
        except SourceUnreachable as error:
            raise DestinationFailed(f"{destination}: {error}") from error
