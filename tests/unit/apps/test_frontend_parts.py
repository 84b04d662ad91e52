"""A frontend lives as long as all of its parts."""

import asyncio
import logging

import pytest

from kubelambda.apps.frontend import _first_death


async def test_a_part_that_dies_ends_the_frontend(caplog: pytest.LogCaptureFixture) -> None:
    """With what it raised, in the log too: a frontend without a cache would answer from what was, for ever."""
    caplog.set_level(logging.CRITICAL)

    async def lives() -> None:
        await asyncio.sleep(3600)

    async def dies() -> None:
        raise ValueError("a watch")

    tasks = [asyncio.create_task(lives()), asyncio.create_task(dies())]
    error = await asyncio.wait_for(_first_death(asyncio.Event(), tasks), 10)
    assert isinstance(error, ValueError)
    assert "a part of the frontend died" in caplog.text
    tasks[0].cancel()


async def test_a_part_that_returns_is_dead_too() -> None:
    """None of them has an end."""

    async def returns() -> None:
        return

    error = await asyncio.wait_for(_first_death(asyncio.Event(), [asyncio.create_task(returns())]), 10)
    assert isinstance(error, RuntimeError)


async def test_a_frontend_that_is_asked_to_stop_has_lost_nothing() -> None:
    """It drains, and ends well."""
    stop, task = asyncio.Event(), asyncio.create_task(asyncio.sleep(3600))
    stop.set()
    assert await asyncio.wait_for(_first_death(stop, [task]), 10) is None
    task.cancel()
