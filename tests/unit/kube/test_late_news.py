"""Callers who wait for what a cache may hear in a moment."""

import asyncio
import time

import pytest
from tests.eventually import eventually

from kubelambda.core.invoke import waiting_room
from kubelambda.core.invoke.waiting_room import WAITING_MAX
from kubelambda.kube.late_news import LateNews


async def test_each_goes_on_once_its_own_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for whatever else the cache hears of."""
    monkeypatch.setattr(waiting_room, "WAIT_S", 60.0)
    news, known = LateNews(), set[str]()
    first, second = (asyncio.create_task(news.wait(lambda name=name: name in known)) for name in "ab")  # type: ignore[misc]
    await eventually(lambda: len(news) == 2)
    known.add("b")
    news.heard()
    await second
    assert len(news) == 1
    news.heard()
    await asyncio.sleep(0)
    assert not first.done()
    known.add("a")
    news.heard()
    await first
    assert len(news) == 0


async def test_nobody_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor at all for what is known."""
    monkeypatch.setattr(waiting_room, "WAIT_S", 3600.0)
    async with asyncio.timeout(60):
        await LateNews().wait(lambda: True)
    monkeypatch.setattr(waiting_room, "WAIT_S", 0.1)
    begun = time.monotonic()
    await LateNews().wait(lambda: False)
    assert time.monotonic() - begun >= 0.1


async def test_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more goes on at once, and whoever goes leaves a place."""
    monkeypatch.setattr(waiting_room, "WAIT_S", 60.0)
    news = LateNews()
    guests = [asyncio.create_task(news.wait(lambda: False)) for _ in range(WAITING_MAX)]
    await eventually(lambda: len(news) == WAITING_MAX)
    await news.wait(lambda: False)
    guests[0].cancel()
    await asyncio.wait(guests[:1])
    assert len(news) == WAITING_MAX - 1
    for guest in guests:
        guest.cancel()
    await asyncio.wait(guests)
