"""Works one mapping of a broker's queue: what is done is acknowledged, after the answer and never before (§7.6)."""

import asyncio
import logging
import random
import time
from contextlib import suppress

from kubelambda.core.mapping.batch_attempts import pause_s
from kubelambda.core.mapping.fair_shares import ShareLimits
from kubelambda.core.mapping.mq_batch import MqBatch, MqMessage, deliverable, first_prefetch
from kubelambda.core.mapping.mq_record import encoded
from kubelambda.core.mapping.record_filter import RecordFilter, SourceFormat
from kubelambda.pollers.function_invoker import InvokeOutcome
from kubelambda.pollers.poller import MappingWork, Poller
from kubelambda.pollers.share_ledger import ShareLedger
from kubelambda.pollers.sources.mq_queue import MqQueue
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.stream_delivery import NO_RECORDS, OK, PROBLEM
from kubelambda.wire.background_tasks import BackgroundTasks

_REPORT_S = 30.0
SENT_BYTES = ShareLimits(account=48 << 20, all_accounts=96 << 20)
"""What brokers may send of messages that nobody has acknowledged."""

log = logging.getLogger(__name__)


class MqPoller(Poller):
    """One mapping. Batches are made one after the other, and as many are at the function as its queue has lanes."""

    def __init__(self, work: MappingWork, queue: MqQueue, sent: ShareLedger) -> None:
        """`sent` is for the bytes that brokers send ahead to all mappings of this process, as `SENT_BYTES` says."""
        super().__init__(work)
        self._sent = sent
        self._queue = queue
        self._filter = RecordFilter(SourceFormat.MQ, work.view.patterns)
        self._prefetch = first_prefetch(work.view.rules.size, queue.lanes, looks=not queue.keeps)
        self._busy = 0
        """Batches at the function."""
        self._deliveries = BackgroundTasks()
        self._background = BackgroundTasks()
        self._lane_free = asyncio.Event()
        self._told = asyncio.Event()
        self._result = NO_RECORDS
        self._failures = 0
        self._fault: SourceUnreachable | None = None

    def stop(self) -> None:
        """Begins nothing new; what runs comes to its end."""
        self._ended.set()
        self._lane_free.set()
        self._told.set()
        self._queue.wake()

    async def run(self) -> None:
        """Works until stopped. Raises `SourceUnreachable`, once nothing is under way any more."""
        try:
            await self._begin()
            self._background.start(self._keep_report())
            await self._work()
        except SourceUnreachable as error:
            self._fault = self._fault or error
        finally:
            self.stop()
            await self._deliveries.wait()
            await self._background.wait()
            self._sent.ended(self._view.account, self._view.uid)
            self._metrics.ended(self._view.namespace, self._view.name)
        if self._fault is not None:
            raise self._fault

    async def _work(self) -> None:
        if not self._prefetch.count:
            await self._look_at_first()
        limit = self._prefetch.count
        while not self._ended.is_set():
            if self._prefetch.count != limit and not self._queue.keeps:
                await self._deliveries.wait()  # what is sent anew must not be on its way
                limit = await self._begin()
            batch = await self._gather(limit)
            if batch is None:
                continue
            if self._prefetch.count != limit and self._queue.keeps and len(batch.messages) + self._queue.held == limit:
                limit = await self._begin()  # all that it may send has come
            self._busy += 1
            self._deliveries.start(self._lane(batch))
            while self._busy >= self._queue.lanes and not self._ended.is_set():
                self._lane_free.clear()
                await self._lane_free.wait()

    async def _begin(self) -> int:
        """Has the broker send as many messages as it may by now; how many of them are of each lane."""
        limit = self._prefetch.count
        if not self._ended.is_set():
            await self._queue.begin(max(1, limit * self._queue.lanes))
        return limit

    async def _look_at_first(self) -> None:
        """Has the broker send as many messages as there is room for, by the size of the first."""
        message = await self._queue.receive(None)
        if message is not None:
            self._queue.put_back(message)
            self._learn(1, message.size)
            await self._begin()

    async def _gather(self, limit: int) -> MqBatch | None:
        """The next batch; None when the poller is to end: what was gathered goes back with the connection."""
        batch = MqBatch(self._view.rules, self._queue.frame, limit)
        seen = size = 0
        while not batch.full and (self._queue.held or not batch.complete(time.monotonic())):
            message = await self._queue.receive(batch.wait_s(time.monotonic()))
            if self._ended.is_set():
                return None
            if message is None:
                continue
            record = encoded(message.record)
            if await self._wanted(message, record) and not batch.add(message, record, time.monotonic()):
                self._queue.put_back(message)
                break
            seen, size = seen + 1, size + message.size
        if seen:
            self._learn(seen, size)
        return batch

    def _learn(self, messages: int, size: int) -> None:
        """Takes in that `messages` came, with `size` bytes altogether."""
        share = self._share(self._prefetch.wanted_bytes(messages, size))
        self._prefetch = self._prefetch.seen(messages, size, share)

    def _share(self, wanted_bytes: int) -> int:
        """Bytes that the broker may send ahead of each lane: those of an account are shared by its mappings."""
        lanes = self._queue.lanes
        return max(1, self._sent.granted(self._view.account, self._view.uid, lanes * wanted_bytes) // lanes)

    async def _wanted(self, message: MqMessage, record: bytes) -> bool:
        """Whether the function is to get a message; the others are done with (§7.6.3, §7.8)."""
        passes = self._filter.passes(message.record)
        fits = deliverable(self._queue.frame, record)
        self._tell("polled", 1)
        if passes and fits:
            return True
        self._tell("dropped" if passes else "filtered_out", 1)
        if passes:
            log.warning("%s/%s: a message too large for an event is dropped", self._view.namespace, self._view.name)
        await self._queue.done([message])
        return False

    async def _lane(self, batch: MqBatch) -> None:
        try:
            await self._deliver(batch)
        except SourceUnreachable as error:
            self._fault = self._fault or error
            self.stop()
        finally:
            self._busy -= 1
            self._lane_free.set()

    async def _deliver(self, batch: MqBatch) -> None:
        """Invokes the function until a batch is done, or the broker's again. What nobody says a word of comes back."""
        for retry in range(self._queue.redeliveries + 1):
            self._tell("invoked", len(batch.messages))
            result = await self._invoke(batch.event(), time.monotonic() + self._queue.hold_s)
            if result.outcome is InvokeOutcome.SUCCEEDED:
                self._failures = 0
                self._ended_as(OK)
                await self._queue.done(batch.messages)
                self._tell("deleted", len(batch.messages))
                return
            self._failures += 1
            self._tell("failed_invoke", len(batch.messages))
            if result.outcome is InvokeOutcome.FUNCTION_ERROR:
                log.info("%s/%s: a batch failed: %r", self._view.namespace, self._view.name, result.payload[:200])
                self._ended_as(PROBLEM)
            if self._ended.is_set():
                return
            if retry < self._queue.redeliveries:
                await self._pause(pause_s(retry + 1))
                if self._ended.is_set():
                    return
                batch = await self._unexpired(batch)
                if not batch.messages:
                    return
        await self._queue.refuse(batch.messages)
        await self._pause(pause_s(self._failures))

    async def _unexpired(self, batch: MqBatch) -> MqBatch:
        """The messages that are still of use; the others are left to the broker."""
        now = time.time() * 1000
        gone = frozenset(each for each in batch.messages if 0 < each.expires_ms < now)
        if gone:
            await self._queue.refuse(list(gone))
            self._tell("dropped", len(gone))
        return batch.without(gone) if gone else batch

    async def _pause(self, seconds: float) -> None:
        """Cut short when the mapping is to end."""
        with suppress(TimeoutError):
            jitter = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
            await asyncio.wait_for(self._ended.wait(), seconds * jitter)

    async def _keep_report(self) -> None:
        try:
            while not self._ended.is_set():
                self._told.clear()
                lag = await self._queue.waiting()
                self._metrics.slots(self._view.namespace, self._view.name, self._queue.lanes)
                if lag is not None:
                    self._metrics.lag(self._view.namespace, self._view.name, lag)
                await self._report.polling(
                    "the source answers", lag=lag, pollers=self._queue.lanes, result=self._result
                )
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._told.wait(), _REPORT_S)
        except SourceUnreachable as error:
            self._fault = self._fault or error
            self.stop()

    def _ended_as(self, result: str) -> None:
        """Told at once when it is another than before."""
        if result != self._result:
            self._result = result
            self._told.set()
