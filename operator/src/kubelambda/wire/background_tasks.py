"""Work that goes on beside whoever asked for it: kept until it is done, and never silent about how it failed."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from kubelambda.wire.request import Request

log = logging.getLogger(__name__)


class BackgroundTasks:
    """Tasks of one owner. asyncio itself keeps only weak references to tasks, and tells of failures late or never."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begins `work`. What it raises is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def answer(self, request: Request, work: Coroutine[Any, Any, object]) -> None:
        """Begins `work`, which answers `request`. Where it fails its caller learns that, and does not wait for ever."""

        def end(task: asyncio.Task[object]) -> None:
            if not task.cancelled() and task.exception() is not None:
                request.respond(500, b'{"message":"the request failed"}', b"Content-Type: application/json\r\n")
                request.abort()  # what had begun

        self.start(work).add_done_callback(end)

    async def wait(self) -> None:
        """Until nothing runs."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("%s failed", task.get_coro(), exc_info=error)
