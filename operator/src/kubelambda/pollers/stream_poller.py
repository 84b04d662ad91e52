"""Works one mapping of a stream: its shards, parents before children, and how far each of them is done (§7.4, D.6)."""

import asyncio
import time
from contextlib import suppress

from kubelambda.core.mapping.record_filter import RecordFilter
from kubelambda.core.mapping.shard_lineage import ShardProgress, kept, readable
from kubelambda.pollers.poller import MappingWork, Poller
from kubelambda.pollers.shard_checkpoints import MappingTaken, ShardCheckpoints
from kubelambda.pollers.shard_worker import ShardWorker
from kubelambda.pollers.sources.stream import StreamSource
from kubelambda.pollers.stream_delivery import StreamDelivery
from kubelambda.wire.background_tasks import BackgroundTasks

_LIST_S = 10.0
"""Between two looks at which shards there are."""
_CHECKPOINT_S = 1.0
"""What is done in between is done again when we die."""
_REPORT_S = 30.0


class StreamPoller(Poller):
    """The shards of one mapping."""

    def __init__(
        self, work: MappingWork, source: StreamSource, delivery: StreamDelivery, checkpoints: ShardCheckpoints
    ) -> None:
        super().__init__(work)
        self._source = source
        self._delivery = delivery
        self._checkpoints = checkpoints
        self._filter = RecordFilter(work.view.source.format, work.view.patterns)
        self._positions: dict[str, ShardProgress] = {}
        self._workers: dict[str, ShardWorker] = {}
        self._running = BackgroundTasks()
        self._fault: Exception | None = None
        self._shard_done = asyncio.Event()
        self._reported = (float("-inf"), "")

    def stop(self) -> None:
        """Begins nothing new; what runs comes to its end."""
        self._delivery.ended.set()
        self._shard_done.set()

    async def run(self) -> None:
        """Works until stopped. Raises `SourceUnreachable`, or `MappingTaken` when another poller works the mapping."""
        self._positions = await self._checkpoints.claim(self._view.uid)
        keeper = self._running.start(self._keep_checkpoints())
        try:
            while not self._delivery.ended.is_set():
                await self._begin_shards()
                await self._tell_state()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._shard_done.wait(), _LIST_S)
                self._shard_done.clear()
        finally:
            self.stop()
            await self._running.wait()
            if not keeper.cancelled() and not isinstance(self._fault, MappingTaken):
                with suppress(MappingTaken):
                    await self._checkpoints.write(self._now())
            self._metrics.ended(self._view.namespace, self._view.name)
        if self._fault is not None:
            raise self._fault

    async def _begin_shards(self) -> None:
        shards = await self._source.shards()
        self._positions = kept(shards, self._now())
        for shard in readable(shards, self._positions):
            if shard not in self._workers:
                position = self._positions.setdefault(shard, ShardProgress())
                self._workers[shard] = ShardWorker(
                    self._view,
                    shard,
                    position,
                    source=self._source,
                    delivery=self._delivery,
                    metrics=self._metrics,
                    room=self._room,
                    record_filter=self._filter,
                )
                self._running.start(self._work(shard))

    async def _work(self, shard: str) -> None:
        try:
            await self._workers[shard].run()
        except Exception as error:  # noqa: BLE001 - of whatever kind: it ends the mapping's work, and is raised there
            self._fault = self._fault or error
            self.stop()
        else:
            self._positions[shard] = self._workers[shard].progress
            if self._positions[shard].finished:
                del self._workers[shard]
                self._shard_done.set()

    def _now(self) -> dict[str, ShardProgress]:
        """How far everything is done. A shard without a position is begun anew: it needs no entry."""
        found = {**self._positions, **{shard: worker.progress for shard, worker in self._workers.items()}}
        return {shard: known for shard, known in found.items() if known != ShardProgress()}

    async def _keep_checkpoints(self) -> None:
        while not self._delivery.ended.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._delivery.ended.wait(), _CHECKPOINT_S)
            try:
                await self._checkpoints.write(self._now())
                await self._tell_state()
            except MappingTaken as taken:
                self._fault = self._fault or taken
                self.stop()

    async def _tell_state(self) -> None:
        at, result = self._reported
        if time.monotonic() - at < _REPORT_S and result == self._delivery.last_result:
            return
        self._reported = time.monotonic(), self._delivery.last_result
        pollers = len(self._workers) * self._view.stream.lanes
        self._metrics.slots(self._view.namespace, self._view.name, pollers)
        await self._report.polling("the source answers", pollers=pollers, result=self._delivery.last_result)
