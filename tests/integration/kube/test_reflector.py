"""The cache of one resource type, against a real API server: what it sees, what it keeps, what it survives."""

import asyncio
import base64
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.integration.functions import Functions, eventually

from kubelambda.frontend.cluster.views import FunctionView, function_view
from kubelambda.kube.errors import Gone
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.reflector import Name, Reflector
from kubelambda.kube.resources import CONFIG_MAPS, FUNCTIONS


def value(body: Object) -> str:
    """The part of a ConfigMap that these tests change. Raises for one that is no number of ours."""
    found: str = body["data"]["value"]
    if found == "unreadable":
        raise ValueError("not the value of this release")
    return found


@asynccontextmanager
async def running(reflector: Reflector[Any]) -> AsyncIterator[None]:
    """A reflector that has listed and goes on."""
    task = asyncio.create_task(reflector.run())
    try:
        await asyncio.wait_for(reflector.synced.wait(), 60)
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Values:
    """ConfigMaps of one namespace and a cache of them."""

    def __init__(self, client: KubeClient, namespace: str, **options: Any) -> None:
        self.client, self.namespace = client, namespace
        self.seen: list[tuple[Name, str | None]] = []
        self.cache = Reflector(
            client,
            CONFIG_MAPS,
            value,
            on_change=lambda name, _, after: self.seen.append((name, after)),
            namespace=namespace,
            **options,
        )

    async def create(self, name: str, text: str) -> None:
        """A ConfigMap."""
        await self.client.create(CONFIG_MAPS, {"metadata": {"name": name}, "data": {"value": text}}, self.namespace)

    async def change(self, name: str, text: str) -> None:
        """Another value."""
        await self.client.patch(CONFIG_MAPS, name, {"data": {"value": text}}, self.namespace)

    def has(self, **expected: str) -> Callable[[], bool]:
        """Whether the cache holds exactly these."""
        names = {(self.namespace, name): text for name, text in expected.items()}
        return lambda: self.cache.items == names


async def test_a_watch_of_objects_that_do_not_change_is_no_fault(
    client: KubeClient, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends and is begun again in silence, without a list; the first change after several times is seen."""
    caplog.set_level(logging.INFO, logger="kubelambda")
    values = Values(client, namespace, quiet_seconds=0.2)
    async with running(values.cache):
        await eventually(lambda: values.cache.watches >= 4)
        await values.create("changing", "new")
        await eventually(lambda: values.seen == [((namespace, "changing"), "new")])
        assert values.cache.lists == 1
    assert caplog.records == []


async def test_a_watch_that_the_server_ends_goes_on_where_it_was(client: KubeClient, namespace: str) -> None:
    """Every change is seen once, whichever watch it falls into or between."""
    values = Values(client, namespace, watch_seconds=1)
    async with running(values.cache):
        await values.create("counted", "0")
        number = 0
        while values.cache.watches < 4:
            number += 1
            await values.change("counted", str(number))
            await asyncio.sleep(0.05)
        await eventually(values.has(counted=str(number)))
    assert [text for _, text in values.seen] == [str(each) for each in range(number + 1)]
    assert values.cache.lists == 1


async def test_watches_that_end_at_once_are_begun_more_and_more_rarely(
    client: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a proxy that streams nothing: the API server and we have better things to do."""

    async def ending(*_: Any, **__: Any) -> AsyncIterator[Object]:
        return
        yield {}

    monkeypatch.setattr(client, "watch", ending)
    values = Values(client, namespace)
    async with running(values.cache):
        await asyncio.sleep(1)
    assert 0 < values.cache.watches < 20


async def test_an_object_that_cannot_be_read_ends_nothing(
    client: KubeClient, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is skipped and logged, and counted while it is there; what was known of it stays; the others go on."""
    values = Values(client, namespace)
    await values.create("bad", "unreadable")
    await values.create("turns", "good")
    async with running(values.cache):
        await values.create("other", "1")
        await values.change("turns", "unreadable")
        await values.change("other", "2")
        await eventually(values.has(turns="good", other="2"))
        assert {name for _, name in values.cache.unreadable} == {"bad", "turns"}
        assert "not the value of this release" in caplog.text
        await values.change("turns", "better")
        await client.delete(CONFIG_MAPS, "bad", namespace)
        await eventually(lambda: not values.cache.unreadable)
        await eventually(values.has(turns="better", other="2"))


async def test_whatever_a_watch_raises_the_cache_lists_again(
    client: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that is too old, or words that nobody understands: with a pause, and nothing stays that is gone."""
    values = Values(client, namespace)
    faults: list[Exception] = [Gone(410, "too old"), KeyError("metadata"), ValueError("no JSON")]
    watch = client.watch

    async def failing(*arguments: Any, **more: Any) -> AsyncIterator[Object]:
        if faults:
            if len(faults) == 1:
                await client.delete(CONFIG_MAPS, "goes", namespace)
            raise faults.pop()
        async for event in watch(*arguments, **more):
            yield event

    monkeypatch.setattr(client, "watch", failing)
    await values.create("goes", "1")
    await values.create("stays", "1")
    async with running(values.cache):
        await eventually(values.has(stays="1"))
        await values.change("stays", "2")
        await eventually(values.has(stays="2"))
    assert values.cache.lists == 4


async def test_a_list_of_many_pages_is_whole(client: KubeClient, namespace: str) -> None:
    """Whatever the objects weigh."""
    expected = {f"c-{number:03}": os.urandom(300_000 if number < 20 else 10).hex() for number in range(130)}
    for name, text in expected.items():
        await values_of(client, namespace, name, text)
    values = Values(client, namespace)
    async with running(values.cache):
        assert values.has(**expected)()


async def values_of(client: KubeClient, namespace: str, name: str, text: str) -> None:
    """One ConfigMap."""
    await client.create(CONFIG_MAPS, {"metadata": {"name": name}, "data": {"value": text}}, namespace)


async def test_a_function_with_a_megabyte_of_code_is_watched_like_any_other(
    client: KubeClient, functions: Functions
) -> None:
    """Its line in a watch is longer than any reader's usual limit; fields of a later release are ignored."""
    seen: list[FunctionView | None] = []
    cache = Reflector(
        client,
        FUNCTIONS,
        function_view,
        on_change=lambda _, __, after: seen.append(after),
        namespace=functions.namespace,
    )
    async with running(cache):
        archive = base64.b64encode(os.urandom(780_000)).decode()
        functions.apply_large("large", code={"zipFile": archive})
        await eventually(lambda: len(seen) == 1)
        functions.apply("small")
        await eventually(lambda: len(seen) == 2)
        assert cache.lists == 1
