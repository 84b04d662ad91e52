"""Objects that are streamed from a server that misbehaves: each end is bounded and says what it was."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network

import pytest
from aiohttp import web

from kubelambda.api import limits
from kubelambda.core.account.request_signing import ClientKey
from kubelambda.core.code.remote_source import FetchFailed, FetchFailure, S3Source
from kubelambda.core.code.s3_request import S3Place
from kubelambda.fetcher import s3_object
from kubelambda.fetcher.s3_access import S3Access

SOURCE = S3Source("code", "a.zip")
DATA = bytes(range(256)) * 4096
type Script = Callable[[web.Request, int], Awaitable[web.StreamResponse]]


class Bucket:
    """A server that answers as the test says; it keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.script: Script = whole
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """By the number of the request."""
        self.requests.append(request)
        return await self.script(request, len(self.requests))

    async def fetch(self, **access: object) -> bytes:
        """What arrives."""
        place = S3Place("us-east-1", self.url, ClientKey("id", "secret"))
        file = io.BytesIO()
        await s3_object.fetch_object(SOURCE, S3Access(place, **{"refused": (), **access}), file)  # type: ignore[arg-type]
        return file.getvalue()

    async def failure(self, **access: object) -> FetchFailed:
        """Why nothing arrives."""
        with pytest.raises(FetchFailed) as failed:
            await self.fetch(**access)
        return failed.value


async def whole(request: web.Request, _: int) -> web.StreamResponse:
    """As it should be."""
    return web.Response(body=DATA, headers={"ETag": '"one"'})


@pytest.fixture
async def bucket() -> AsyncIterator[Bucket]:
    """A running server."""
    found = Bucket()
    app = web.Application()
    app.router.add_get("/code/a.zip", found.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def broken_off(request: web.Request, number: int, *, tag: str = '"one"') -> web.StreamResponse:
    """A third of what was announced, and then no connection any more; the rest for whoever asks for it."""
    offset = int(request.headers.get("Range", "bytes=0-")[6:-1])
    left = DATA[offset:]
    response = web.StreamResponse(status=206 if offset else 200, headers={"ETag": tag} if tag else {})
    response.content_length = len(left)
    await response.prepare(request)
    await response.write(left[: len(DATA) // 3 + 1])
    if len(left) > len(DATA) // 3 + 1:
        assert request.transport is not None
        await asyncio.sleep(0.05)
        request.transport.close()
    return response


async def test_an_object_arrives_as_it_is(bucket: Bucket) -> None:
    """Also one that says it is compressed: what is in the bucket is the archive."""

    async def encoded(request: web.Request, number: int) -> web.StreamResponse:
        return web.Response(body=DATA, headers={"Content-Encoding": "gzip"})

    assert await bucket.fetch() == DATA
    bucket.script = encoded
    assert await bucket.fetch() == DATA


async def test_a_connection_that_breaks_is_continued(bucket: Bucket) -> None:
    """Only with the same object, and without what is there already."""
    bucket.script = broken_off
    assert await bucket.fetch() == DATA
    asked = [(each.headers.get("Range"), each.headers.get("If-Match")) for each in bucket.requests]
    third = len(DATA) // 3 + 1
    assert asked == [(None, None), (f"bytes={third}-", '"one"'), (f"bytes={2 * third}-", '"one"')]


async def test_an_object_that_is_replaced_meanwhile_is_never_half_of_each(bucket: Bucket) -> None:
    """The server says so when the rest of the former one is asked for."""

    async def replaced(request: web.Request, number: int) -> web.StreamResponse:
        return await broken_off(request, number) if number == 1 else web.Response(status=412)

    bucket.script = replaced
    failed = await bucket.failure()
    assert failed.kind is FetchFailure.CHANGED
    assert "s3://code/a.zip was replaced while it was fetched" in str(failed)


async def test_without_a_tag_nothing_is_continued(bucket: Bucket) -> None:
    """Nobody could say that it is the rest of the same."""

    async def untagged(request: web.Request, number: int) -> web.StreamResponse:
        return await broken_off(request, number, tag="")

    bucket.script = untagged
    assert (await bucket.failure()).kind is FetchFailure.UNAVAILABLE
    assert len(bucket.requests) == 1


async def test_a_server_that_sends_no_parts_is_not_believed(bucket: Bucket) -> None:
    """The whole once more behind the first third would be no archive that anybody has."""

    async def deaf(request: web.Request, number: int) -> web.StreamResponse:
        return await (broken_off if number == 1 else whole)(request, number)

    bucket.script = deaf
    assert "its server sends no part of it" in str(await bucket.failure())


@pytest.mark.parametrize("announced", [True, False])
async def test_too_much_is_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, announced: bool) -> None:
    """By what is announced before anything is read, or by what comes."""
    monkeypatch.setattr(limits, "UNZIPPED_MAX_BYTES", 1 << 20)
    written = 0

    async def endless(request: web.Request, number: int) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        if announced:
            response.content_length = 1 << 30
        await response.prepare(request)
        while True:
            await response.write(bytes(1 << 16))
            written += 1 << 16

    bucket.script = endless
    failed = await bucket.failure()
    assert (failed.kind, str(failed)) == (
        FetchFailure.INVALID,
        "Unzipped size must be smaller than 262144000 bytes",
    )
    assert written < 16 << 20


async def test_silence_ends(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends nothing any more is as good as gone."""
    monkeypatch.setattr(s3_object, "_SILENCE_S", 0.2)

    async def silent(request: web.Request, number: int) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(3600)
        return response

    bucket.script = silent
    assert (await bucket.failure()).kind is FetchFailure.UNAVAILABLE


async def test_nobody_is_followed_elsewhere(bucket: Bucket) -> None:
    """A redirect would take what is signed for one server to another."""

    async def elsewhere(request: web.Request, number: int) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect("/code/b.zip")

    bucket.script = elsewhere
    assert (await bucket.failure()).kind is FetchFailure.REFUSED
    assert len(bucket.requests) == 1


async def test_a_refused_network_is_not_reached(bucket: Bucket) -> None:
    """Nothing is sent, and the refusal says which value decides."""
    failed = await bucket.failure(refused=(ip_network("127.0.0.0/8"),))
    assert "code is never fetched from 127.0.0.1 (codeUrlRefusedNetworks)" in str(failed)
    assert bucket.requests == []
