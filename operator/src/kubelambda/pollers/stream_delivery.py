"""Invokes the function with batches of a stream until they are done or given up, and tells of the latter (§7.4.5)."""

import asyncio
import logging
import random
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol

from kubelambda.core.account.identity import unqualified
from kubelambda.core.mapping.batch_attempts import StreamBatch, after, pause_s, split_expired
from kubelambda.core.mapping.partial_batch import failed_items
from kubelambda.core.mapping.stream_failure import FailedBatch, LastInvocation, outgoing_record
from kubelambda.core.mapping.stream_record import stream_event
from kubelambda.core.mapping.stream_rules import GivenUp, StreamRecord
from kubelambda.outbound.record_sender import DestinationFailed, RecordSender
from kubelambda.pollers.function_invoker import FunctionInvoker, InvokeOutcome, InvokeResult
from kubelambda.pollers.mapping_view import MappingView
from kubelambda.pollers.poller_metrics import PollerMetrics

_SEND_ATTEMPTS = 8
NO_RECORDS = "No records processed"
OK = "OK"
PROBLEM = "PROBLEM: Function call failed"

log = logging.getLogger(__name__)


class Progress(Protocol):
    """Who is told what needs nothing more."""

    def done(self, records: Iterable[StreamRecord]) -> None:
        """Records of a batch are done, or were given up."""

    def held_up(self, failures: int) -> None:
        """A batch failed so often in a row, or was not taken, and waits for its next attempt."""


class StreamDelivery:
    """Deliveries of one mapping. `last_result` is Lambda's word for how the last batch ended (§7.1.4)."""

    def __init__(
        self,
        view: MappingView,
        invoker: FunctionInvoker,
        sender: RecordSender,
        *,
        metrics: PollerMetrics,
        timeout_s: Callable[[], int],
    ) -> None:
        self._view = view
        self._invoker = invoker
        self._sender = sender
        self._metrics = metrics
        self._timeout_s = timeout_s
        self.ended = asyncio.Event()
        self.last_result = NO_RECORDS

    async def deliver(self, shard: str, buffer: Progress, records: tuple[StreamRecord, ...]) -> None:
        """Returns when the records are done, or the mapping is to end: then some of them are not."""

        async def invoke(batch: StreamBatch) -> tuple[InvokeResult, bool]:
            result = await self.invoke(self.event(batch.records), batch.records)
            return result, result.outcome is InvokeOutcome.SUCCEEDED

        await self.attempt(shard, buffer, records, invoke)

    def event(self, records: tuple[StreamRecord, ...]) -> bytes:
        """The event of records."""
        return stream_event(records)

    async def attempt(
        self,
        shard: str,
        buffer: Progress,
        records: tuple[StreamRecord, ...],
        invoke: Callable[[StreamBatch], Any],
    ) -> None:
        """As `deliver`, by another way to invoke: it returns the result, and whether the function took the batch."""
        waiting, failures, rules = deque([StreamBatch(records)]), 0, self._view.stream
        while waiting and not self.ended.is_set():
            old, batch = split_expired(waiting.popleft(), datetime.now(UTC), rules)
            if old is not None:
                await self.give_up(shard, buffer, old, GivenUp.RECORD_AGE_EXCEEDED, LastInvocation(str(uuid.uuid4())))
            if batch is None:
                continue
            result, good = await invoke(batch)
            if result.outcome is InvokeOutcome.TURNED_DOWN:
                failures += 1
                waiting.appendleft(batch)
                self._metrics.throttled(self._view.namespace, self._view.name)
                buffer.held_up(failures)
                await self.pause(failures)
                continue
            failed = self._failed(result, batch) if good else frozenset(record.sequence for record in batch.records)
            verdict = after(batch, failed, rules)
            buffer.done(verdict.done)
            self._tell("failed_invoke", len(batch.records) - len(verdict.done))
            self.last_result = PROBLEM if failed else OK
            if verdict.given_up is not None:
                last = LastInvocation(
                    result.request_id or str(uuid.uuid4()), result.executed_version, result.function_error
                )
                await self.give_up(shard, buffer, verdict.given_up, GivenUp.RETRY_ATTEMPTS_EXHAUSTED, last)
            waiting.extendleft(reversed(verdict.again))
            failures = failures + 1 if failed else 0
            if verdict.again:
                buffer.held_up(failures)
                await self.pause(failures)

    async def invoke(self, event: bytes, records: tuple[StreamRecord, ...]) -> InvokeResult:
        """One attempt."""
        self._tell("invoked", len(records))
        if records:
            age = datetime.now(UTC) - records[-1].arrival
            self._metrics.iterator_age(self._view.namespace, self._view.name, age.total_seconds() * 1000)
        result = await self._invoker.invoke(self._view.function_arn, event, self._timeout_s())
        if result.outcome is InvokeOutcome.FUNCTION_ERROR:
            log.info("%s/%s: a batch failed: %r", self._view.namespace, self._view.name, result.payload[:200])
        return result

    async def pause(self, failures: int) -> None:
        """Longer after each failure; cut short when the mapping is to end."""
        with suppress(TimeoutError):
            jitter = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
            await asyncio.wait_for(self.ended.wait(), pause_s(failures) * jitter)

    def _failed(self, result: InvokeResult, batch: StreamBatch) -> frozenset[str]:
        if not self._view.reports_failures:
            return frozenset()
        return self.failed_of(result, batch)

    def failed_of(self, result: InvokeResult, batch: StreamBatch) -> frozenset[str]:
        """The sequence numbers of the records that the function says have failed."""
        return failed_items(result.payload, [record.sequence for record in batch.records])

    async def send(self, failed: FailedBatch, destination: str) -> None:
        """Tells a destination of a batch, once. Raises `DestinationFailed`."""
        record = outgoing_record(failed, destination, datetime.now(UTC))
        await self._sender.send(self._view.namespace, destination, record)

    async def give_up(
        self, shard: str, buffer: Progress, batch: StreamBatch, condition: GivenUp, last: LastInvocation
    ) -> None:
        """Tells of a batch; only then it is done."""
        function = unqualified(self._view.function_arn)
        failed = FailedBatch(self._view.source, self._view.uid, function, shard, batch, condition, last)
        if self._view.on_failure is None or await self._sent(failed, self._view.on_failure):
            buffer.done(batch.records)
            self._tell("dropped", len(batch.records))

    async def _sent(self, failed: FailedBatch, destination: str) -> bool:
        """False when the mapping is to end before the destination took the record."""
        for attempt in range(1, _SEND_ATTEMPTS + 1):
            try:
                await self.send(failed, destination)
            except DestinationFailed as error:
                log.warning("%s/%s: %s", self._view.namespace, self._view.name, error)
                self._tell("on_failure_failed", len(failed.batch.records))
                await self.pause(attempt)
                if self.ended.is_set():
                    return False
            else:
                self._tell("on_failure_delivered", len(failed.batch.records))
                return True
        return True  # what does not take it must not hold up the shard for ever

    def _tell(self, what: str, count: int) -> None:
        self._metrics.events(self._view.namespace, self._view.name, what, count)
