"""Who tries the events: the one process of a queue in a file; of those that share a queue, the one with the lease."""

import asyncio
import logging

from kubelambda.events.event_worker import EventWorker
from kubelambda.events.function_policies import FunctionPolicies
from kubelambda.kube.lease import LeaderLease
from kubelambda.store.event.event_queue import SharedEventQueue

log = logging.getLogger(__name__)


class Leadership:
    """Runs the worker, at once or as soon as the lease is ours. `shared` is None for a queue that is ours alone."""

    def __init__(self, worker: EventWorker, policies: FunctionPolicies, shared: SharedEventQueue | None) -> None:
        self._worker = worker
        self._policies = policies
        self._shared = shared
        self._leading = False
        self.lease: LeaderLease | None = None
        """Needed where the queue is shared."""

    def leads(self) -> bool:
        """Whether this process tries events."""
        return self._leading

    async def prepare(self) -> None:
        """Reads what waits in a queue of our own, before anything new comes. Raises `QueueUnavailable`."""
        if self._shared is None:
            log.info("%d events wait", await self._worker.load())

    async def run(self) -> None:
        """Works until cancelled, or until the lease is lost, which ends the process."""
        async with asyncio.TaskGroup() as group:
            if self.lease is not None:
                await self.lease.acquire()
                group.create_task(self.lease.hold())
            group.create_task(self._policies.run())
            if self._shared is not None:
                log.info("leading: %d events wait", await self._worker.load())
                group.create_task(self._follow(self._shared))
            self._leading = True
            group.create_task(self._worker.run())

    async def _follow(self, queue: SharedEventQueue) -> None:
        async for event in queue.arrivals():
            self._worker.arrived(event)
