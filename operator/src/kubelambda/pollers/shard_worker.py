"""Works one shard of a stream: reads on while there is room, and hands each lane's batches to the function (§7.4.4)."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from kubelambda.core.mapping.batch_attempts import StreamBatch
from kubelambda.core.mapping.record_filter import RecordFilter
from kubelambda.core.mapping.shard_buffer import ShardBuffer
from kubelambda.core.mapping.shard_lineage import ShardProgress
from kubelambda.core.mapping.sqs_record import encoded
from kubelambda.core.mapping.stream_record import stream_event
from kubelambda.core.mapping.stream_rules import StreamRecord
from kubelambda.core.mapping.tumbling_window import TumblingWindow, window_start
from kubelambda.pollers.batch_room import MappingRoom
from kubelambda.pollers.function_invoker import InvokeOutcome, InvokeResult
from kubelambda.pollers.mapping_view import MappingView
from kubelambda.pollers.poller_metrics import PollerMetrics
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.sources.stream import EXPIRED, OVERRUN, ReadRecord, StreamSource
from kubelambda.pollers.stream_delivery import StreamDelivery

_ROOM_S = 0.1
_BUSY_S = 0.2
"""Between two looks at a shard that brings records: five in a second are allowed."""
_OVERRUN_S = 1.0
_LOOK_S = 1.0
"""Between two looks at whether a tumbling window is over."""
_HELD_UP = 6
"""Failures in a row after which what waits behind a batch is given back: attempts are 16 s apart then, or more."""


class ShardWorker:
    """One shard, from a position on."""

    def __init__(
        self,
        view: MappingView,
        shard: str,
        position: ShardProgress,
        *,
        source: StreamSource,
        delivery: StreamDelivery,
        metrics: PollerMetrics,
        room: MappingRoom,
        record_filter: RecordFilter,
    ) -> None:
        self._view = view
        self._shard = shard
        self._source = source
        self._delivery = delivery
        self._metrics = metrics
        self._filter = record_filter
        self._room = room
        self._memory = room.batch()
        self._buffer = ShardBuffer(view.stream, checkpoint=position.sequence)
        self._last_read = position.sequence
        self._read_out = False
        self._arrived = [asyncio.Event() for _ in range(view.stream.lanes)]
        self._window: TumblingWindow | None = None
        self._held: str | None = None
        self._held_up = False
        """Whether nothing is read since a batch fails again and again."""
        self._given_back = False
        """Whether some of what was read has to be read again."""

    @property
    def progress(self) -> ShardProgress:
        """How far the shard is done. While a window is open nothing of it is: its state dies with us."""
        sequence = self._held if self._window is not None else self._buffer.checkpoint
        return ShardProgress(sequence, self._read_out and self._buffer.empty and self._window is None)

    async def run(self) -> None:
        """Until the shard is done or the mapping is to end. Raises `SourceUnreachable`, once no batch is under way."""
        with self._memory:
            fault = await self._run_lanes()
        if fault is not None:
            raise fault

    async def _run_lanes(self) -> SourceUnreachable | None:
        """Until nothing is under way any more; what kept us from reading."""
        fault: SourceUnreachable | None = None
        async with asyncio.TaskGroup() as group:  # a lane that dies takes the shard with it
            for lane in range(len(self._arrived)):
                group.create_task(self._lane(lane))
            try:
                await self._read()
            except SourceUnreachable as error:
                fault = error
                self._delivery.ended.set()
            if not self._read_out:
                await self._delivery.ended.wait()
            self._wake()
        return fault

    async def _read(self) -> None:
        iterator: str | None = await self._begin()
        while iterator is not None and not self._delivery.ended.is_set():
            if self._held_up or self._buffer.full:
                await self._sleep(_ROOM_S)
                continue
            if self._given_back:
                self._given_back = False
                iterator = await self._begin()
            await self._memory.begin(self._delivery.ended)
            if self._delivery.ended.is_set():
                break
            try:
                reading = await self._source.read(self._shard, iterator)
            except SourceUnreachable as error:
                self._memory.now(self._buffer.bytes_held)
                if error.code == EXPIRED:
                    iterator = await self._begin()
                elif error.code in OVERRUN:
                    await self._sleep(_OVERRUN_S)
                else:
                    raise
                continue
            if self._given_back:  # what came is not what comes next
                self._memory.now(self._buffer.bytes_held)
                continue
            self._take_in(reading.records)
            iterator = reading.iterator
            if iterator is not None:
                await self._sleep(_BUSY_S if reading.records else self._source.interval_s)
        self._read_out = iterator is None

    def done(self, records: Iterable[StreamRecord]) -> None:
        """Records of a batch need nothing more."""
        self._buffer.done(records)

    def held_up(self, failures: int) -> None:
        """Nobody knows for how long: others of the account have more use for the room of what was read ahead.

        Not with several lanes: one that fails does not hold up the others. Nor of a shard that is read to its end.
        """
        if failures >= _HELD_UP and len(self._arrived) == 1 and not self._read_out and not self._held_up:
            self._held_up = self._given_back = True
            self._last_read = self._buffer.give_back()
            self._memory.now(self._buffer.bytes_held)

    async def _begin(self) -> str:
        if self._last_read is None:
            return await self._source.begin(self._shard, self._view.starting_position)
        return await self._source.go_on(self._shard, self._last_read)

    def _take_in(self, records: Sequence[ReadRecord]) -> None:
        before = self._buffer.bytes_held
        for record in records:
            self._take_in_one(record)
        self._memory.now(self._buffer.bytes_held)
        self._room.learn(self._buffer.bytes_held - before)
        self._metrics.events(self._view.namespace, self._view.name, "polled", len(records))

    def _take_in_one(self, read: ReadRecord) -> None:
        self._last_read = read.sequence
        if not self._filter.passes(read.record):
            self._metrics.events(self._view.namespace, self._view.name, "filtered_out", 1)
            self._buffer.skip(read.sequence)
            return
        record = StreamRecord(read.sequence, read.key, read.arrival, encoded(read.record))
        self._arrived[self._buffer.add(record, time.monotonic())].set()

    async def _lane(self, lane: int) -> None:
        """Batch after batch. One that is under way when the mapping is to end gets its answer."""
        while not self._delivery.ended.is_set():
            records = self._buffer.take(lane, time.monotonic(), closing=self._read_out)
            if records:
                await self._deliver(records)
                self._held_up = False
                self._memory.now(self._buffer.bytes_held)
            elif self._window is not None and (self._read_out or self._window.over(datetime.now(UTC))):
                await self._close_window(self._window)
                self._held_up = False
            elif self._read_out and self._buffer.due_s(lane, time.monotonic()) is None:
                return
            else:
                await self._wait(lane)

    async def _wait(self, lane: int) -> None:
        due = self._buffer.due_s(lane, time.monotonic())
        most = _LOOK_S if self._window is not None else None
        seconds = min((each for each in (due, most) if each is not None), default=None)
        self._arrived[lane].clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._arrived[lane].wait(), seconds)

    async def _deliver(self, records: tuple[StreamRecord, ...]) -> None:
        length = self._view.stream.tumbling_s
        if not length:
            await self._delivery.deliver(self._shard, self, records)
            return
        start = window_start(records[0].arrival, length)
        if self._window is not None and self._window.start != start:
            await self._close_window(self._window)
            if self._window is not None:
                return  # the mapping ends; the whole window is read again
        if self._window is None:
            self._held = self._buffer.checkpoint
            self._window = TumblingWindow(start, length)
        window = self._window

        async def invoke(batch: StreamBatch) -> tuple[InvokeResult, bool]:
            result = await self._invoke(window, batch.records, final=False)
            return result, result.outcome is InvokeOutcome.SUCCEEDED and window.took(result.payload)

        await self._delivery.attempt(self._shard, self, records, invoke)
        if window.terminated_early:
            await self._close_window(window)

    async def _close_window(self, window: TumblingWindow) -> None:
        """The last invocation of a window, tried as often as any batch; then its state is forgotten."""
        failures = 0
        most = self._view.stream.max_retries
        while not self._delivery.ended.is_set():
            result = await self._invoke(window, (), final=True)
            if result.outcome is InvokeOutcome.SUCCEEDED or (
                result.outcome is InvokeOutcome.FUNCTION_ERROR and 0 <= most <= failures
            ):
                self._window, self._held = None, None
                return
            failures += 1
            self.held_up(failures)
            await self._delivery.pause(failures)

    async def _invoke(self, window: TumblingWindow, records: tuple[StreamRecord, ...], *, final: bool) -> InvokeResult:
        members = window.members(final=final) | {"shardId": self._shard, "eventSourceARN": self._view.source.arn}
        return await self._delivery.invoke(stream_event(records, members), records)

    def _wake(self) -> None:
        for arrived in self._arrived:
            arrived.set()

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._delivery.ended.wait(), seconds)
