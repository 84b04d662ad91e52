"""Work that goes on beside whoever asked for it."""

import asyncio
import gc
import logging

import pytest

from kubelambda.wire.background_tasks import BackgroundTasks


async def test_a_task_is_kept_until_it_is_done() -> None:
    """asyncio alone would let the collector have it."""
    tasks, waiting = BackgroundTasks(), asyncio.Event()

    async def work() -> None:
        await waiting.wait()

    task = tasks.start(work())
    await asyncio.sleep(0)
    gc.collect()
    assert len(tasks) == 1
    waiting.set()
    await task
    await asyncio.sleep(0)
    assert len(tasks) == 0


async def test_what_a_task_raised_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """At once, with its traceback; a cancelled one is no failure."""
    tasks = BackgroundTasks()

    async def fails() -> None:
        raise ValueError("the reason")

    tasks.start(fails())
    tasks.start(asyncio.sleep(3600)).cancel()
    with caplog.at_level(logging.ERROR):
        await asyncio.sleep(0.01)
    assert [record.exc_info[1].args for record in caplog.records if record.exc_info and record.exc_info[1]] == [
        ("the reason",)
    ]
