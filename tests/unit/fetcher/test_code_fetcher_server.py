"""The code fetcher as whoever asks it sees it: a real code store beside it, and a bucket that does as the test says."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from tests.code_stores import served

from kubelambda.core.account.request_signing import ClientKey
from kubelambda.core.code.remote_source import FetchFailed, FetchFailure, S3Source
from kubelambda.core.code.s3_request import S3Place
from kubelambda.core.environment import tokens
from kubelambda.fetcher.code_fetcher_server import CodeFetcherServer
from kubelambda.fetcher.s3_access import S3Access
from kubelambda.store.code.code_fetcher import CodeFetcher
from kubelambda.store.code.code_store import CodeStore

KEY = b"k" * 32
CODE_KEY = tokens.code_key(KEY)


class Places:
    """Everybody's buckets are at one address."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def find(self, namespace: str) -> S3Access:
        """The same for every namespace."""
        return S3Access(S3Place("us-east-1", self._url, ClientKey("id", "secret")), ())


class Running:
    """A fetcher, its store, and the bucket."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.url = ""
        self.store: CodeStore

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Objects by key; what is `slow` sends a byte now and then, for ever."""
        key = request.match_info["key"]
        if key == "slow":
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.05)
        if key not in self.objects:
            raise web.HTTPNotFound
        return web.Response(body=self.objects[key])


async def listening(stack: AsyncExitStack, application: web.Application) -> str:
    """Address of an application that serves until the end of the test."""
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    """All three of them."""
    found = Running()
    async with AsyncExitStack() as stack:
        bucket = web.Application()
        bucket.router.add_get("/code/{key}", found.serve)
        places = Places(await listening(stack, bucket))
        store_url = await stack.enter_async_context(served(tmp_path, KEY))
        found.store = await stack.enter_async_context(CodeStore(store_url, KEY))
        uploads = await stack.enter_async_context(CodeStore.for_uploads(store_url, CODE_KEY))
        server = CodeFetcherServer(uploads, cast("Any", places), cast("Any", None), CODE_KEY)
        found.url = await listening(stack, server.application())
        yield found


async def fetched(running: Running, key: str, *, seconds: float = 60, code_key: bytes = CODE_KEY) -> Any:
    """What the fetcher answers; a failure is returned."""
    async with CodeFetcher(running.url, code_key) as fetcher:
        try:
            return await fetcher.fetch("shop", S3Source("code", key), seconds)
        except FetchFailed as failed:
            return failed


async def test_what_arrives_is_in_the_store(running: Running) -> None:
    """Under its digest, once it has been read as an archive."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as folder:
        folder.writestr("index.py", "x = 1")
    running.objects["a.zip"] = data.getvalue()
    found = await fetched(running, "a.zip")
    assert await running.store.get(found.sha256) == data.getvalue()
    assert found.size == len(data.getvalue())


async def test_what_is_no_archive_leaves_nothing_behind(running: Running) -> None:
    """And the reason is the archive's."""
    running.objects["a.zip"] = b"no archive"
    assert (await fetched(running, "a.zip")).kind is FetchFailure.INVALID
    assert await running.store.digests() == []


async def test_what_comes_too_slowly_ends_in_time(running: Running) -> None:
    """Though it is never silent for long."""
    failed = await fetched(running, "slow", seconds=1)
    assert (failed.kind, str(failed)) == (
        FetchFailure.UNAVAILABLE,
        "s3://code/slow did not arrive within 1 seconds",
    )
    assert await running.store.digests() == []


async def test_slow_fetches_of_one_namespace_leave_room_for_others(running: Running) -> None:
    """Three at once each; the fourth waits behind its own, and its time runs out as well."""
    slow = [asyncio.create_task(fetched(running, "slow", seconds=30)) for _ in range(4)]
    await asyncio.sleep(0)
    async with CodeFetcher(running.url, CODE_KEY) as fetcher:
        with pytest.raises(FetchFailed) as failed:
            await fetcher.fetch("other", S3Source("code", "absent"), 25)
    assert failed.value.kind is FetchFailure.MISSING
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_nobody_else_is_served(running: Running) -> None:
    """The installation's key itself is not what opens it, nor is another."""
    for key in (KEY, b"guessed"):
        failed = await fetched(running, "a.zip", code_key=key)
        assert (failed.kind, str(failed)) == (FetchFailure.UNAVAILABLE, "the code fetcher answers 401")


async def test_a_fetcher_that_is_away_is_no_fault_of_the_source(running: Running) -> None:
    """It is asked again later."""
    running.url = "http://127.0.0.1:9"
    assert (await fetched(running, "a.zip")).kind is FetchFailure.UNAVAILABLE
