"""Hosting kopf, with a kopf that ends as the real one was seen to."""

import asyncio
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from kubelambda.controllers.machinery import hosting
from kubelambda.controllers.machinery.context import Context

CONTEXT = cast("Context", None)


class Host:
    """Stands in for kopf: what it does once it runs is given."""

    def __init__(self, works: Callable[["Host"], Any]) -> None:
        self._works = works
        self.ended: Callable[[], None]

    def modules(self) -> tuple[ModuleType, ModuleType]:
        """As `hosting._host`."""

        def registry(_context: Context, _kubeconfig: str | None, ended: Callable[[], None]) -> None:
            self.ended = ended

        async def operator(**_: Any) -> None:
            await self._works(self)

        found = SimpleNamespace(operator=operator), SimpleNamespace(registry=registry)
        return cast("tuple[ModuleType, ModuleType]", found)


async def watched(monkeypatch: pytest.MonkeyPatch, works: Callable[[Host], Any]) -> asyncio.Event:
    """Hosts it; whether the operator is asked to stop."""
    stop = asyncio.Event()
    monkeypatch.setattr(hosting, "_END_S", 0.2)
    monkeypatch.setattr(hosting, "_host", Host(works).modules)
    async with asyncio.timeout(30):
        await hosting._watch(CONTEXT, None, stop)
    return stop


async def never_ends(host: Host) -> None:
    """All watches are cancelled, and one of them goes on."""
    host.ended()
    free = asyncio.Event()
    asyncio.get_running_loop().call_later(5, free.set)
    while not free.is_set():
        try:
            await free.wait()
        except asyncio.CancelledError:
            continue


async def ends(host: Host) -> None:
    """As after a signal."""
    host.ended()
    await asyncio.sleep(0.01)


async def fails(host: Host) -> None:
    """A watch failed, and everything else ended."""
    host.ended()
    await asyncio.sleep(0.01)
    raise RuntimeError("File descriptor 18 is used by transport")


async def test_the_operator_ends_when_nothing_is_watched_though_kopf_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would lead, and hear of nothing."""
    began = asyncio.get_running_loop().time()
    assert (await watched(monkeypatch, never_ends)).is_set()
    assert asyncio.get_running_loop().time() - began < 5


async def test_a_signal_that_kopf_took_ends_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an error."""
    assert (await watched(monkeypatch, ends)).is_set()


async def test_a_watch_that_fails_is_the_operators_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words of the watch."""
    with pytest.raises(RuntimeError, match="File descriptor 18"):
        await watched(monkeypatch, fails)


async def is_cancelled(host: Host) -> None:
    """Whoever did that: kopf has ended."""
    host.ended()
    await asyncio.sleep(0.01)
    raise asyncio.CancelledError


async def test_a_kopf_that_ends_as_cancelled_is_the_operators_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of tasks misses none that ends so: the operator would lead, and hear of nothing."""
    monkeypatch.setattr(hosting, "_END_S", 0.2)
    monkeypatch.setattr(hosting, "_host", Host(is_cancelled).modules)
    stop = asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(hosting._watch(CONTEXT, None, stop))
    assert stop.is_set()
