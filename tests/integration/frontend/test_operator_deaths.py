"""An alias that moves while its operator dies, once after each of its writes: real operators, frontends and agents."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tests.eventually import eventually
from tests.integration.control_plane import OPERATOR_TOKEN, SYSTEM_NAMESPACE, ControlPlane
from tests.integration.frontend.moving_alias import Callers, point, publish, serving, told
from tests.integration.frontend.publishing import SHOW
from tests.integration.loopback import Cluster
from tests.integration.processes import Component, Installation
from tests.integration.replica_sets import ReplicaSets
from tests.ports import free_port

from kubelambda.kube.errors import NotFound
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ALIASES, LEASES

WRITES = 5
"""A move has two of the Deployments and two of the alias at least."""
_HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


class WriteGate:
    """A way to the API server that ends after some writes of aliases and Deployments: nobody hears of the last one."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._left = 0
        self.shut = asyncio.Event()
        self.port = free_port()

    def open(self, writes: int) -> None:
        """Lets so many writes pass."""
        self._left = writes
        self.shut.clear()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Until the block ends."""
        app = web.Application(client_max_size=16 << 20)
        app.router.add_route("*", "/{path:.*}", self._pass)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        connector = aiohttp.TCPConnector(ssl=False, limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._session:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            try:
                yield
            finally:
                await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        if self.shut.is_set():
            await asyncio.Event().wait()
        counts = request.method != "GET" and ("/aliases/" in request.path or "/deployments/" in request.path)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        url, body = f"{self._target}{request.raw_path}", await request.read()
        timeout = aiohttp.ClientTimeout(total=None)
        # Whoever asks for nothing compressed gets nothing compressed: long lists would be.
        as_they_are = {"Accept-Encoding"}
        async with self._session.request(
            request.method, url, headers=headers, data=body or None, timeout=timeout, skip_auto_headers=as_they_are
        ) as found:
            if counts:
                self._left -= 1
                if self._left <= 0:
                    self.shut.set()
                    await asyncio.Event().wait()
            kept = {name: value for name, value in found.headers.items() if name.lower() not in _HOP_BY_HOP}
            answer = web.StreamResponse(status=found.status, headers=kept)
            await answer.prepare(request)
            with contextlib.suppress(ConnectionError):
                async for piece in found.content.iter_any():
                    await answer.write(piece)
                await answer.write_eof()
            return answer


@pytest.fixture
async def gate(control_plane: ControlPlane) -> AsyncIterator[WriteGate]:
    """One that works."""
    found = WriteGate(control_plane.url)
    async with found.serving():
        yield found


class Operators:
    """One operator after the other, that speak to Kubernetes through a gate."""

    def __init__(self, cluster: Cluster, installation: Installation, kubeconfig: Path) -> None:
        self._cluster = cluster
        self._installation = installation
        self._kubeconfig = kubeconfig
        self._present: Component | None = None

    async def start(self) -> None:
        """Another one leads."""
        found, _ = await asyncio.to_thread(self._installation.operator, kubeconfig=self._kubeconfig)
        self._present = found

    async def kill(self) -> None:
        """As a node that fails; the lease would run out after a quarter of a minute."""
        if self._present is not None:
            await asyncio.to_thread(self._present.kill)
        self._present = None
        with contextlib.suppress(NotFound):
            await self._cluster.client.delete(LEASES, "kubelambda-operator", SYSTEM_NAMESPACE)


@pytest.fixture
async def operators(
    store_running: Installation, cluster: Cluster, control_plane: ControlPlane, gate: WriteGate, tmp_path: Path
) -> AsyncIterator[Operators]:
    """The first one leads; Deployments have pods."""
    path = tmp_path / "gate.kubeconfig"
    direct = control_plane.kubeconfig(OPERATOR_TOKEN).read_text()
    path.write_text(direct.replace(control_plane.url, f"http://127.0.0.1:{gate.port}"))
    found = Operators(cluster, store_running, path)
    replica_sets = asyncio.create_task(ReplicaSets(cluster).run())
    gate.open(1_000_000)
    await found.start()
    yield found
    await found.kill()
    replica_sets.cancel()
    await asyncio.gather(replica_sets, return_exceptions=True)


async def shut_or_moved(cluster: Cluster, gate: WriteGate, version: int) -> bool:
    """Whether the operator has made its last write: what it finds done at once, it writes in one."""
    found: Object = (await cluster.client.get(ALIASES, "f-live", cluster.namespace)).get("status", {})
    units = found.get("provisionedConcurrency") or {}
    return gate.shut.is_set() or (found.get("routedVersion"), units.get("status")) == (str(version), "READY")


async def test_a_move_survives_the_death_of_its_operator_after_each_of_its_writes(
    cluster: Cluster, operators: Operators, gate: WriteGate
) -> None:
    """The next one finishes it: no caller gets an error or an environment on demand, and the old ones end."""
    for version in (1, 2):
        await publish(cluster, version, f"CODE = {version}\n{SHOW}")
    await point(cluster, 1)
    frontend = await cluster.frontend()
    await serving(cluster, frontend, 1)
    async with Callers(cluster) as callers:
        for writes in range(1, WRITES + 1):
            version = 1 + writes % 2
            gate.open(writes)
            await point(cluster, version)
            await eventually(lambda version=version: shut_or_moved(cluster, gate, version))  # type: ignore[misc]
            await operators.kill()
            gate.open(1_000_000)
            await operators.start()
            assert (await told(cluster, version, "READY"))["routedVersion"] == str(version)
            seen = callers.seen.total()
            await eventually(lambda seen=seen: callers.seen.total() > seen + 2)  # type: ignore[misc]
    assert callers.kinds == {(200, "provisioned-concurrency")}, callers.seen

    async def moved() -> bool:
        return bool((await cluster.invoke("f:live")).json["version"] == str(1 + WRITES % 2))

    await eventually(moved)

    async def left() -> bool:
        return len(await cluster.pods()) == 1

    await eventually(left)
