"""Works one partition of a topic: gathers a batch, hands it to the function, and says how far it is done (§7.5.2)."""

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from kubelambda.api import limits
from kubelambda.core.mapping.batch_attempts import StreamBatch
from kubelambda.core.mapping.kafka_record import KafkaEnvelope, encoded_record, kafka_record, partition_name
from kubelambda.core.mapping.partition_batch import PartitionBatch
from kubelambda.core.mapping.record_filter import RecordFilter
from kubelambda.core.mapping.stream_failure import LastInvocation
from kubelambda.core.mapping.stream_rules import GivenUp, StreamRecord
from kubelambda.pollers.batch_room import MappingRoom
from kubelambda.pollers.kafka_delivery import KafkaDelivery
from kubelambda.pollers.mapping_view import MappingView
from kubelambda.pollers.poller_metrics import PollerMetrics
from kubelambda.pollers.record_decoder import DecodedRecord, RecordDecoder, RecordRefused
from kubelambda.pollers.sources.kafka import KafkaTopic, ReadMessage

_IDLE_S = 60.0
"""For how long a partition without records is waited for at once."""

log = logging.getLogger(__name__)


class PartitionWorker:
    """One partition, from an offset on. One batch of it is at the function at once."""

    def __init__(
        self,
        view: MappingView,
        topic: KafkaTopic,
        partition: int,
        position: int,
        *,
        delivery: KafkaDelivery,
        envelope: KafkaEnvelope,
        metrics: PollerMetrics,
        room: MappingRoom,
        record_filter: RecordFilter,
        decoder: RecordDecoder | None,
        progressed: Callable[[], None],
    ) -> None:
        """`progressed` is called when `position` has become another. Without a `decoder` records have no schemas."""
        assert view.kafka is not None, "a mapping of Kafka"
        self.position = position
        """The next offset that is not done."""
        self._view = view
        self._topic = topic
        self._name = view.kafka.topic
        self._partition = partition
        self._delivery = delivery
        self._envelope = envelope
        self._metrics = metrics
        self._room = room
        self._filter = record_filter
        self._decoder = decoder
        self._progressed = progressed
        self._came: deque[ReadMessage] = deque()
        """Records as they were written."""
        self._read: deque[StreamRecord] = deque()
        self._next = position
        """The next offset to be read."""

    @property
    def last_result(self) -> str:
        """How the last batch ended, in Lambda's words."""
        return self._delivery.last_result

    def stop(self) -> None:
        """Begins nothing new; a batch that is at the function gets its answer."""
        self._delivery.ended.set()

    async def run(self) -> None:
        """Until stopped. Raises `SourceUnreachable`."""
        ended = asyncio.ensure_future(self._delivery.ended.wait())
        try:
            with self._room.batch() as held:
                while not self._stopped:
                    if not self._left:
                        await held.begin(self._delivery.ended)
                    batch = await self._gather(ended)
                    held.now(batch.size + self._left)
                    self._room.learn(batch.size + self._left)
                    if batch.records and not await self._hand_over(batch):
                        return  # nothing that follows it may be taken for done
                    held.now(self._left)
        finally:
            ended.cancel()

    @property
    def _stopped(self) -> bool:
        """From the very moment on: whoever waits for `ended` as a task hears of it later, and goes on until then."""
        return self._delivery.ended.is_set()

    async def _hand_over(self, batch: PartitionBatch) -> bool:
        """Whether the batch is done. It is not when the worker was stopped: whose the partition is then reads it."""
        records = tuple(batch.records)
        shard = partition_name(self._name, self._partition)
        if batch.refused is None:
            await self._delivery.deliver(shard, self, records)
        else:
            await self._give_up(shard, records, batch.refused)
        if self.position <= int(records[-1].sequence):
            return False
        if not self._read:
            self._move(self._next)  # past those that no filter let through
        return True

    @property
    def _left(self) -> int:
        """Bytes of what was read, and is in no batch."""
        return sum(len(each.encoded) for each in self._read) + sum(len(each.value or b"") for each in self._came)

    def done(self, records: Iterable[StreamRecord]) -> None:
        """Records, in order, need nothing more."""
        for record in records:
            self._move(int(record.sequence) + 1)

    def held_up(self, failures: int) -> None:
        """It holds a batch and the rest of one read, and reads nothing ahead."""

    async def _gather(self, ended: asyncio.Future[Any]) -> PartitionBatch:
        batch = PartitionBatch(self._view.stream, self._envelope.size)
        while not self._stopped:
            while self._read and batch.add(self._read[0], time.monotonic()):
                self._read.popleft()
            due = batch.due_s(time.monotonic())
            if batch.full:
                break
            count = await self._read_on(batch.room, _IDLE_S if due is None else due, ended)
            if due is not None and due <= 0 and not count:
                break  # the window is over, and nothing more is here
            if not self._read and not batch.records:
                self._move(self._next)
        return batch

    async def _read_on(self, count: int, seconds: float, ended: asyncio.Future[Any]) -> int:
        """How many records were read, with those that no filter lets through: no more than an event has room for.

        By their schemas some bytes may say megabytes: what came waits as it was written.
        """
        if not self._came:
            reading = asyncio.ensure_future(self._topic.read(self._partition, count, seconds))
            await asyncio.wait((reading, ended), return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                reading.cancel()
                await asyncio.wait((reading,))
                return 0
            self._came.extend(reading.result())
        passed = filtered = size = 0
        while self._came and size < limits.SYNC_REQUEST_MAX_BYTES:
            if self._stopped:  # a registry may be slow, and whoever is to have the partition waits
                break
            message = self._came[0]
            record = await self._record(message)
            self._came.popleft()
            if record is not None:
                self._read.append(record)
                passed += 1
                size += len(record.encoded)
            else:
                filtered += 1
            self._next = message.offset + 1
        self._tell("polled", passed + filtered)
        self._tell("filtered_out", filtered)
        return passed + filtered

    async def _record(self, message: ReadMessage) -> StreamRecord | None:
        """The record as the function is to get it; None when no filter lets it through. Raises `SourceUnreachable`."""
        record = kafka_record(
            self._name,
            self._partition,
            message.offset,
            timestamp_ms=message.timestamp,
            timestamp_type=message.timestamp_type,
            key=message.key,
            value=message.value,
            headers=message.headers,
        )
        refused = None
        try:
            decoded = await self._decoder.decode(message.key, message.value) if self._decoder else DecodedRecord()
            if not self._filter.passes(record | decoded.members, decoded.known):
                return None
            record |= decoded.members
        except RecordRefused as error:
            refused = error.condition
            log.info("%s/%s: a record is refused: %s", self._view.namespace, self._view.name, error)
        arrival = datetime.fromtimestamp(max(message.timestamp, 0) / 1000, UTC)
        return StreamRecord(str(message.offset), "", arrival, encoded_record(record), refused)

    async def _give_up(self, shard: str, records: tuple[StreamRecord, ...], reason: GivenUp) -> None:
        log.warning(
            "%s/%s: %d records of %s are given up: %s",
            self._view.namespace,
            self._view.name,
            len(records),
            shard,
            reason.value,
        )
        last = LastInvocation(str(uuid.uuid4()))
        await self._delivery.give_up(shard, self, StreamBatch(records), reason, last)

    def _move(self, position: int) -> None:
        if position > self.position:
            self._tell("committed", position - self.position)
            self.position = position
            self._progressed()

    def _tell(self, what: str, count: int) -> None:
        self._metrics.events(self._view.namespace, self._view.name, what, count)
