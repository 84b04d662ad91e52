"""Works one mapping of a topic of Kafka: the partitions that the consumer group gives us (§7.5).

Offsets are committed after the function's answer, never before. When partitions become another member's, what is at the
function gets its answer first, and is committed: nothing is lost, and little comes twice.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress

from kubelambda.core.mapping.kafka_record import kafka_envelope, partition_name
from kubelambda.core.mapping.record_filter import RecordFilter
from kubelambda.outbound.record_sender import RecordSender
from kubelambda.pollers.kafka_delivery import KafkaDelivery
from kubelambda.pollers.partition_worker import PartitionWorker
from kubelambda.pollers.poller import MappingWork, Poller
from kubelambda.pollers.record_decoder import RecordDecoder
from kubelambda.pollers.sources.kafka import KafkaTopic
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.stream_delivery import NO_RECORDS, OK, PROBLEM
from kubelambda.wire.background_tasks import BackgroundTasks

_COMMIT_S = 0.2
"""Between two commits: what is done in between comes again when we die."""
_LOOK_S = 5.0
"""Between two looks at how many records wait, which also say whether the cluster answers."""
_FAULTS_MAX = 6
"""Looks in vain, one after the other, after which everything begins anew, and says why it does not."""
_LAST_COMMIT_S = 10.0
_REPORT_S = 30.0
_NONE_OURS = "no partition is ours: others of the consumer group have them all, or the topic is not there any more"

log = logging.getLogger(__name__)


class KafkaPoller(Poller):
    """The partitions of one mapping that are ours."""

    def __init__(
        self, work: MappingWork, topic: KafkaTopic, sender: RecordSender, *, decoder: RecordDecoder | None = None
    ) -> None:
        """`decoder` reads records that have schemas."""
        super().__init__(work)
        self._topic = topic
        self._sender = sender
        self._decoder = decoder
        self._filter = RecordFilter(work.view.source.format, work.view.patterns)
        bound = work.view.provisioned
        self._slots = asyncio.Semaphore(bound.topic_batches) if bound is not None else nullcontext()
        self._workers: dict[int, PartitionWorker] = {}
        self._committed: dict[int, int] = {}
        self._joined = False
        """Whether the group has said which partitions are ours, be it none."""
        self._working = BackgroundTasks()
        self._progressed = asyncio.Event()
        self._looking = asyncio.Event()
        self._fault: Exception | None = None
        self._last_result = NO_RECORDS
        self._reported = (float("-inf"), "", -1)

    @property
    def partitions(self) -> frozenset[int]:
        """Those that are ours now."""
        return frozenset(self._workers)

    def stop(self) -> None:
        """Begins nothing new; what runs comes to its end."""
        self._ended.set()
        self._progressed.set()
        self._looking.set()
        for worker in self._workers.values():
            worker.stop()

    async def run(self) -> None:
        """Works until stopped. Raises `SourceUnreachable`, once nothing is under way any more."""
        keeping = BackgroundTasks()
        self._topic.subscribe(self)
        keeper = keeping.start(self._keep_committing())
        try:
            await self._look()
        except SourceUnreachable as error:
            self._fault = self._fault or error
        finally:
            self.stop()
            await self._working.wait()
            keeper.cancel()
            await keeping.wait()
            await self._commit(_LAST_COMMIT_S)
            self._metrics.ended(self._view.namespace, self._view.name)
        if self._fault is not None:
            raise self._fault

    async def gained(self, partitions: Sequence[int]) -> None:
        """The partitions that are ours, and none but those."""
        if self._ended.is_set():
            return
        try:
            positions = await self._topic.positions(partitions, self._view.starting_position)
        except SourceUnreachable as error:
            self._end(error)
            return
        if self._ended.is_set():
            return
        self._committed = {}
        for partition in partitions:
            worker = self._worker(partition, positions[partition])
            self._workers[partition] = worker
            self._working.start(self._work(worker))
        self._joined = True
        self._progressed.set()  # where a partition begins is written down, too
        self._looking.set()

    async def lost(self) -> None:
        """What is at the function gets its answer, and is committed."""
        for worker in self._workers.values():
            worker.stop()
        await self._working.wait()
        await self._commit(_LAST_COMMIT_S)
        self._keep_result()
        self._workers.clear()
        self._joined = False

    def _worker(self, partition: int, position: int) -> PartitionWorker:
        assert self._view.kafka is not None, "a mapping of Kafka"
        name = partition_name(self._view.kafka.topic, partition)
        envelope = kafka_envelope(self._view.source, self._topic.servers, name)
        delivery = KafkaDelivery(
            self._view,
            self._invoker,
            self._sender,
            topic=self._topic,
            partition=name,
            envelope=envelope,
            metrics=self._metrics,
            timeout_s=self._timeout_s,
            slots=self._slots,
        )
        return PartitionWorker(
            self._view,
            self._topic,
            partition,
            position,
            delivery=delivery,
            envelope=envelope,
            metrics=self._metrics,
            room=self._room,
            record_filter=self._filter,
            decoder=self._decoder,
            progressed=self._progressed.set,
        )

    async def _work(self, worker: PartitionWorker) -> None:
        try:
            await worker.run()
        except Exception as error:  # noqa: BLE001 - of whatever kind: it ends the mapping's work, and is raised there
            self._end(error)

    def _end(self, fault: Exception) -> None:
        self._fault = self._fault or fault
        self.stop()

    async def _keep_committing(self) -> None:
        while not self._ended.is_set():
            await self._progressed.wait()
            self._progressed.clear()
            await self._commit(None)
            await self._pause(_COMMIT_S)

    async def _commit(self, seconds: float | None) -> None:
        """Commits what is new. What cannot be committed comes again: to us, or to whose the partition is now."""
        positions = {partition: worker.position for partition, worker in self._workers.items()}
        offsets = {each: at for each, at in positions.items() if self._committed.get(each) != at}
        if not offsets:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._topic.commit(offsets)
        except (SourceUnreachable, TimeoutError) as error:
            log.info("%s/%s: offsets are not committed: %s", self._view.namespace, self._view.name, error)
        else:
            self._committed |= offsets

    async def _look(self) -> None:
        """Says how much waits, and whether the cluster answers. Raises `SourceUnreachable` when it has not for long."""
        faults = 0
        while not self._ended.is_set():
            try:
                await self._tell_lag()
            except SourceUnreachable as error:
                faults += 1
                await self._report.trouble(error.reason, str(error), result=error.result)
                self._reported = (float("-inf"), "", -1)
                if faults >= _FAULTS_MAX:
                    raise
            else:
                faults = 0
            self._looking.clear()
            if not self._ended.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._looking.wait(), _LOOK_S)

    async def _tell_lag(self) -> None:
        """Also of a member without a partition: the mapping is worked, and its state waits for our word."""
        if not self._joined:
            return
        positions = {partition: worker.position for partition, worker in self._workers.items()}
        ends = await self._topic.ends(list(positions)) if positions else {}
        lags = [max(0, ends[partition] - at) for partition, at in positions.items()]
        namespace, name = self._view.namespace, self._view.name
        self._metrics.lag(namespace, name, sum(lags))
        self._metrics.partition_lag(namespace, name, max(lags, default=0))
        self._metrics.slots(namespace, name, len(positions))
        if self._view.provisioned is not None:
            self._metrics.provisioned(namespace, name, self._view.provisioned.of_partitions(len(positions)))
        self._keep_result()
        at, result, pollers = self._reported
        if time.monotonic() - at < _REPORT_S and (result, pollers) == (self._last_result, len(positions)):
            return
        self._reported = (time.monotonic(), self._last_result, len(positions))
        note, lag = ("the source answers", sum(lags)) if positions else (_NONE_OURS, None)
        await self._report.polling(note, pollers=len(positions), lag=lag, result=self._last_result)

    def _keep_result(self) -> None:
        """How the last batch ended: of several partitions, what is wrong with one of them."""
        results = {worker.last_result for worker in self._workers.values()} - {NO_RECORDS}
        if results:
            self._last_result = PROBLEM if PROBLEM in results else OK

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
