"""Requests that are not Invoke, passed on by a real frontend's server to a real server behind it."""

import asyncio
import hashlib
import io
import json
import os
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.frontend.control_api.control_api_proxy import CODE_MAX_BYTES, ControlApiProxy
from kubelambda.frontend.control_api.control_api_servers import ControlApiServers
from kubelambda.frontend.dispatch.invocation import refuse
from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.request_reader import Admission
from kubelambda.wire.server import Request

CODE = "/2015-03-31/functions/f/code"


@dataclass
class Behind:
    """The server behind: says what came, and counts connections."""

    connections: set[int] = field(default_factory=set)
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    received: int = 0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """`/slow` reads nothing until it may, `/no` refuses unread, `/large` answers much; others say what came."""
        assert request.transport is not None
        self.connections.add(id(request.transport))
        if request.path == "/no/code":
            raise web.HTTPConflict(text="no")
        if request.path == "/large":
            return web.Response(body=bytes(30 << 20))
        if request.path == "/slow/code":
            await self.reading.wait()
        digest = hashlib.sha256()
        async for chunk in request.content.iter_any():
            self.received += len(chunk)
            digest.update(chunk)
        found = {
            "method": request.method,
            "path": request.raw_path,
            "sha256": digest.hexdigest(),
            "id": request.headers["x-amzn-requestid"],
            "custom": request.headers.get("x-custom"),
        }
        return web.json_response(found, headers={"X-Amzn-ErrorType": "None"})


@dataclass
class Front:
    """The frontend's server with nothing but the proxy."""

    proxy: ControlApiProxy

    def admit(self, request: Request) -> Admission:
        """At the head."""
        try:
            return self.proxy.admit(request, str(uuid.uuid4()), lambda error: self.fail(request, error))
        except InvokeError as error:
            self.fail(request, error)
            return None

    def serve(self, request: Request) -> None:
        """Nothing but what was admitted."""
        raise AssertionError

    def fail(self, request: Request, error: InvokeError) -> None:
        """As the frontend does."""
        refuse(request, "id", error)


@dataclass
class Parts:
    """Both servers, and a caller."""

    behind: Behind
    runner: web.AppRunner
    session: aiohttp.ClientSession
    url: str


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    """Caller, frontend and control API on loopback."""
    behind = Behind()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", behind.serve)
    runner = web.AppRunner(app, keepalive_timeout=30)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    servers = ControlApiServers(f"http://127.0.0.1:{port}")
    front = Front(ControlApiProxy(servers, lambda request: request.headers.get(b"x-account", b"").decode()))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: ServerProtocol(front.serve, max_body=0, admit=front.admit), "127.0.0.1", 0
    )
    session = aiohttp.ClientSession()
    yield Parts(behind, runner, session, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await session.close()
    server.close()
    await runner.cleanup()


async def eventually(holds: Callable[[], bool], pause: float = 0.02) -> None:
    """Returns once it `holds`."""
    for _ in range(int(90 / pause)):
        if holds():
            return
        await asyncio.sleep(pause)
    raise AssertionError("it never came true")


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 20 << 20])
async def test_a_body_arrives_whole(parts: Parts, size: int) -> None:
    """Small ones at once, large ones piece by piece."""
    data = os.urandom(size)
    async with parts.session.put(
        URL(f"{parts.url}{CODE}?a=b%2Fc", encoded=True), data=io.BytesIO(data), headers={"X-Custom": "1"}
    ) as answer:
        found = await answer.json()
        assert answer.headers["X-Amzn-ErrorType"] == "None"
    assert (found["method"], found["path"], found["custom"]) == ("PUT", f"{CODE}?a=b%2Fc", "1")
    assert found["sha256"] == hashlib.sha256(data).hexdigest()
    uuid.UUID(found["id"])


async def test_a_body_in_chunks_arrives_whole(parts: Parts) -> None:
    """Of unknown length."""

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(100):
            yield bytes([number]) * 10_000

    async with parts.session.put(parts.url + CODE, data=pieces()) as answer:
        found = await answer.json()
    assert found["sha256"] == hashlib.sha256(b"".join(bytes([n]) * 10_000 for n in range(100))).hexdigest()


async def test_small_requests_share_a_connection(parts: Parts) -> None:
    """It is kept open, and used again."""
    for _ in range(5):
        async with parts.session.get(f"{parts.url}/2015-03-31/functions") as answer:
            assert answer.status == 200
    assert len(parts.behind.connections) == 1


async def test_a_large_answer_arrives_whole(parts: Parts) -> None:
    """Thirty megabytes of code."""
    async with parts.session.get(f"{parts.url}/large") as answer:
        assert len(await answer.read()) == 30 << 20


async def test_the_caller_waits_for_a_slow_reader(parts: Parts) -> None:
    """What the control API does not read yet, the caller keeps: the frontend holds no more than its buffers."""
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(600):
            yield bytes(100_000)
            sent += 100_000

    calling = asyncio.ensure_future(parts.session.put(f"{parts.url}/slow/code", data=pieces()))
    before = -1

    def nothing_moves() -> bool:
        nonlocal before
        still, before = before == sent, sent
        return still and sent > 0

    await eventually(nothing_moves, pause=0.3)
    assert 0 < sent < 30_000_000
    parts.behind.reading.set()
    answer = await calling
    assert answer.status == 200
    assert parts.behind.received == 60_000_000


async def test_a_refusal_before_the_end_of_the_body_arrives(parts: Parts) -> None:
    """The control API may refuse at the head of an upload."""
    async with parts.session.put(f"{parts.url}/no/code", data=bytes(200_000)) as answer:
        assert (answer.status, await answer.text()) == (409, "no")


async def test_too_much_is_refused_at_the_head(parts: Parts) -> None:
    """Before any of it is sent on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(parts.url.rpartition(":")[2]))
    writer.write(f"PUT {CODE} HTTP/1.1\r\nHost: x\r\nContent-Length: {CODE_MAX_BYTES}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"RequestEntityTooLargeException" in head
    writer.close()
    assert not parts.behind.connections


async def test_a_control_api_that_is_away_is_a_503(parts: Parts) -> None:
    """For small requests and for uploads, and after it had been there."""
    async with parts.session.get(f"{parts.url}/x") as answer:
        assert answer.status == 200
    await parts.runner.cleanup()
    for data in (b"", bytes(200_000)):
        async with parts.session.put(parts.url + CODE, data=data) as answer:
            assert answer.status == 503
            assert answer.headers["x-amzn-ErrorType"] == "ServiceUnavailableException"
            assert "cannot be reached" in json.loads(await answer.read())["message"]


async def test_a_caller_that_goes_away_takes_its_upload_along(parts: Parts) -> None:
    """The connection behind is closed, and nothing is left."""
    _, writer = await asyncio.open_connection("127.0.0.1", int(parts.url.rpartition(":")[2]))
    writer.write(f"PUT {CODE} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n".encode() + bytes(500_000))
    await eventually(lambda: parts.behind.received > 0)
    writer.close()
    server = parts.runner.server
    assert server is not None
    await eventually(lambda: not server.connections)
