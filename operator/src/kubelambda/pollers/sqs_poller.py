"""Works one mapping of a queue: receives, filters, invokes, and deletes what is done, never before (§7.3, D.5)."""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from kubelambda.core.mapping.partial_batch import failed_items
from kubelambda.core.mapping.record_filter import RecordFilter, SourceFormat
from kubelambda.core.mapping.sqs_batch import BatchMessage, Gathering, visibility_problem, visibility_s
from kubelambda.core.mapping.sqs_record import encoded, event_of, sqs_record
from kubelambda.core.mapping.sqs_scaling import SlotCount, pollers_of, slot_bounds
from kubelambda.pollers.batch_room import HeldBatch
from kubelambda.pollers.function_invoker import InvokeOutcome
from kubelambda.pollers.poller import MappingWork, Poller
from kubelambda.pollers.share_ledger import ShareLedger
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.sources.sqs import SqsQueue
from kubelambda.wire.background_tasks import BackgroundTasks

_DECIDE_S = 5.0
"""Between two looks at how many slots there should be."""
_REPORT_S = 30.0
_REFUSED_S = 1.0
"""Pause after a batch that failed: the queue brings its messages back, and others may be no better."""

_TRACE = "AWSTraceHeader"
"""System attribute of a message: a loop by way of a queue is known by it (§6.8)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Received:
    """A message, and when it came, on the monotonic clock."""

    message: BatchMessage
    at: float


class SqsPoller(Poller):
    """The slots of one mapping. Each makes one batch after the other."""

    def __init__(self, work: MappingWork, queue: SqsQueue, ledger: ShareLedger) -> None:
        """`ledger` is that of all mappings of this process."""
        super().__init__(work)
        self._queue = queue
        self._filter = RecordFilter(SourceFormat.SQS, work.view.patterns)
        self._bounds = slot_bounds(work.view.maximum_concurrency, work.view.provisioned)
        self._count = SlotCount(self._bounds.first)
        self._ledger = ledger
        self._granted = self._count.slots
        self._slots = BackgroundTasks()
        self._queue_visibility_s = 30
        self._fault: SourceUnreachable | None = None

    def stop(self) -> None:
        """Begins nothing new; what runs comes to its end."""
        self._ended.set()

    async def run(self) -> None:
        """Works until stopped. Raises `SourceUnreachable`, once no slot works any more."""
        try:
            self._queue_visibility_s = await self._queue.visibility_timeout_s()
            await self._keep_slots()
        except SourceUnreachable as error:
            self._fault = error
        finally:
            self.stop()
            await self._slots.wait()
            self._ledger.ended(self._view.account, self._view.uid)
            self._metrics.ended(self._view.namespace, self._view.name)
        if self._fault is not None:
            raise self._fault

    async def _keep_slots(self) -> None:
        reported, told = float("-inf"), 0
        while not self._ended.is_set():
            self._granted = self._ledger.granted(self._view.account, self._view.uid, self._count.slots)
            while len(self._slots) < self._granted:
                self._slots.start(self._slot())
            self._metrics.slots(self._view.namespace, self._view.name, self._granted)
            if self._view.provisioned is not None:
                self._metrics.provisioned(self._view.namespace, self._view.name, pollers_of(self._granted))
            bound = self._granted if self._bounded else 0
            if bound != told or time.monotonic() - reported >= _REPORT_S:
                reported, told = time.monotonic(), bound
                self._queue_visibility_s = await self._queue.visibility_timeout_s()
                lag = await self._queue.waiting()
                self._metrics.lag(self._view.namespace, self._view.name, lag)
                await self._report.polling(self._note(), lag=lag, pollers=self._granted)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _DECIDE_S)
            decided = self._count.decided(self._bounds, _DECIDE_S)
            # Who may not have what it wants does not want more.
            self._count = replace(decided, slots=min(decided.slots, self._count.slots)) if self._bounded else decided

    @property
    def _bounded(self) -> bool:
        """Whether there are fewer slots than the mapping wants, for others want some, too."""
        return self._granted < self._count.slots

    def _note(self) -> str:
        if self._bounded:
            limits = self._ledger.limits
            return (
                f"the source answers; {self._granted} of {self._count.slots} batches at once: "
                f"all mappings of an account share {limits.account} of this poller, all accounts {limits.all_accounts}"
            )
        return visibility_problem(self._queue_visibility_s, self._timeout_s()) or "the source answers"

    async def _slot(self) -> None:
        """Batches until there are to be fewer slots, or none. Messages that did not fit are the next batch's first."""
        carried: list[_Received] = []
        try:
            with self._room.batch() as held:
                while carried or not (self._ended.is_set() or len(self._slots) > self._granted):
                    if not carried:
                        await held.begin(self._ended)
                    gathering = Gathering(self._view.rules)
                    carried = await self._gather(gathering, carried, held)
                    self._room.learn(gathering.record_bytes + _size(carried))
                    done = not gathering.messages or await self._deliver(gathering)
                    if not done and self._view.fifo:
                        carried = []  # they come back after those that failed, and in order
                    held.now(_size(carried))
                    if not done:
                        with suppress(TimeoutError):
                            await asyncio.wait_for(self._ended.wait(), _REFUSED_S)
        except SourceUnreachable as error:
            self._fault = error
            self.stop()

    async def _gather(self, gathering: Gathering, carried: list[_Received], held: HeldBatch) -> list[_Received]:
        """Fills a batch; what did not fit into it. Only what nothing has been received of waits for room."""
        while carried and gathering.add(carried[0].message, carried[0].at):
            carried = carried[1:]
        while not carried and not gathering.complete(time.monotonic()) and not self._ended.is_set():
            received = await self._receive(*gathering.next_receive(time.monotonic()))
            now = time.monotonic()
            for number, message in enumerate(received):
                if not gathering.add(message, now):
                    carried = [_Received(each, now) for each in received[number:]]
                    break
            held.now(gathering.record_bytes + _size(carried))
        return carried

    async def _receive(self, count: int, wait_s: int) -> list[BatchMessage]:
        """What the function is to get of the next messages; those that no filter lets through are deleted (§7.3.8)."""
        found = await self._queue.receive(count, wait_s, self._visibility_s())
        full = len(found) == count
        self._count = self._count.counted(full_receives=int(full), empty_receives=int(not found))
        passed, dropped = [], []
        for message in found:
            record = sqs_record(message, self._view.source.arn)
            if self._filter.passes(record):
                trace = record["attributes"].get(_TRACE, "")
                passed.append(BatchMessage(message["MessageId"], message["ReceiptHandle"], encoded(record), trace))
            else:
                dropped.append(message["ReceiptHandle"])
        self._tell("polled", len(found))
        self._tell("filtered_out", len(dropped))
        if dropped:
            await self._queue.delete(dropped)
        deliverable = [message for message in passed if message.deliverable]
        if len(deliverable) < len(passed):
            self._tell("dropped", len(passed) - len(deliverable))
            log.warning("%s: a message is too large for an event, and stays in the queue", self._view.source.arn)
        return deliverable

    async def _deliver(self, gathering: Gathering) -> bool:
        """Invokes the function with a batch and deletes what is done. False when some of it has failed."""
        messages = gathering.messages
        self._tell("invoked", len(messages))
        event = event_of([message.record for message in messages])
        trace = next((message.trace for message in messages if message.trace), "")
        result = await self._invoke(event, gathering.since + self._visibility_s(), trace)
        ids = [message.message_id for message in messages]
        failed = frozenset(ids)
        if result.outcome is InvokeOutcome.SUCCEEDED:
            failed = failed_items(result.payload, ids) if self._view.reports_failures else frozenset()
        elif result.outcome is InvokeOutcome.FUNCTION_ERROR:
            log.info("%s/%s: a batch failed: %r", self._view.namespace, self._view.name, result.payload[:200])
        done = [message.receipt_handle for message in messages if message.message_id not in failed]
        left = await self._queue.delete(done) if done else 0
        self._tell("deleted", len(done) - left)
        self._tell("failed_invoke", len(failed))
        self._count = self._count.counted(batches=1, failures=int(bool(failed)))
        return not failed

    def _turned_down(self) -> None:
        super()._turned_down()
        self._count = self._count.counted(throttles=1)

    def _visibility_s(self) -> int:
        return visibility_s(self._queue_visibility_s, self._view.rules.window_s, self._timeout_s())


def _size(received: list[_Received]) -> int:
    return sum(len(each.message.record) for each in received)
