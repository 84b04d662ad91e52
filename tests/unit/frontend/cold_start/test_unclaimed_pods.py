"""Pods whose agents refuse a function: whose they are, their agents say, who may be slow to answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from tests.eventually import eventually
from tests.ports import free_address, free_port
from tests.unit.frontend.empty_caches import anonymous, empty_caches

from kubelambda.api import environment_protocol, labels
from kubelambda.api.environment_protocol import EnvironmentState
from kubelambda.api.settings import EnvironmentSettings
from kubelambda.frontend.cluster.views import PodView
from kubelambda.frontend.cold_start import unclaimed_pods
from kubelambda.frontend.cold_start.pod_deletion import PodDeletions
from kubelambda.frontend.cold_start.resizer import Resizer
from kubelambda.frontend.cold_start.unclaimed_pods import UnclaimedPods
from kubelambda.kube.api_server import Server
from kubelambda.kube.kube_client import KubeClient


class Pod:
    """A pod as the API server and its agent show it."""

    def __init__(self) -> None:
        self.ip = free_address()
        self.port = free_port()
        self.silent = 0
        """How many of the next questions the agent ends without an answer."""
        self.deleted = False

    async def state(self, request: web.Request) -> web.Response:
        """That of a function's environment."""
        self.silent -= 1
        if self.silent >= 0 and request.transport is not None:
            request.transport.close()
        return web.Response(body=EnvironmentState(specialized=True, function_uid="mine", busy=True).encode())

    async def shown(self, _: web.Request) -> web.Response:
        """It has the labels of the function."""
        metadata: dict[str, Any] = {
            "uid": self.view.uid,
            "resourceVersion": "7",
            "labels": {labels.FUNCTION_UID: "mine"},
        }
        return web.json_response({"metadata": metadata})

    async def gone(self, _: web.Request) -> web.Response:
        """Somebody deleted it."""
        self.deleted = True
        return web.json_response({})

    @property
    def view(self) -> PodView:
        """As a frontend saw it."""
        return PodView(self.ip, "1", self.ip, True, False, False, 0, False, "", 0, "python3.13", "", "", "", "node")


@asynccontextmanager
async def served(address: str, port: int, *routes: web.RouteDef) -> AsyncIterator[None]:
    """Serves them."""
    app = web.Application()
    app.router.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
    yield
    await runner.cleanup()


@pytest.fixture
async def pod() -> AsyncIterator[Pod]:
    """One that runs the function `mine`, and whose labels say so."""
    found = Pod()
    path = "/api/v1/namespaces/team/pods/pod"
    async with (
        served(found.ip, environment_protocol.CONTROL_PORT, web.get(environment_protocol.STATE, found.state)),
        served("127.0.0.1", found.port, web.get(path, found.shown), web.delete(path, found.gone)),
    ):
        yield found


@pytest.fixture
async def unclaimed(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[UnclaimedPods]:
    """Of a frontend that waits for nothing."""
    monkeypatch.setattr(unclaimed_pods, "_PAUSE_S", 0.0)
    client = KubeClient(Server(f"http://127.0.0.1:{pod.port}", None, anonymous))
    caches = empty_caches(client)
    resizer = Resizer(client, caches, EnvironmentSettings())
    yield UnclaimedPods(client, caches, deletions=PodDeletions(client), resizer=resizer, key=b"k" * 32)
    await client.close()


async def test_a_pod_that_serves_stays_however_slow_its_agent_is(pod: Pod, unclaimed: UnclaimedPods) -> None:
    """Two frontends started the same function while its account moved: who was refused must not delete the pod."""
    pod.silent = 3
    await unclaimed._look("team", "pod", pod.view, "mine")
    assert pod.silent < 0, "it was not asked again"
    assert not unclaimed._deletions.pending(pod.view.uid)


async def test_a_pod_goes_whose_agent_never_says_that_it_runs_what_the_labels_say(
    pod: Pod, unclaimed: UnclaimedPods
) -> None:
    """It may run another function, with the network of this one."""
    pod.silent = 1000
    await unclaimed._look("team", "pod", pod.view, "mine")
    await eventually(lambda: pod.deleted)
