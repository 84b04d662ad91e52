"""Pool pods are told what to hold as long as somebody wants it, and are left alone for a while after a failure."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from aiohttp import web
from tests.ports import free_address

from kubelambda.api import environment_protocol
from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.core.environment import tokens
from kubelambda.core.pool.layers_ahead import WORTH_BYTES
from kubelambda.core.pool.pool_size import HOLD_S
from kubelambda.frontend.cluster.views import PodView
from kubelambda.frontend.cold_start.archive_cache import Archives
from kubelambda.frontend.cold_start.held_pods import HeldPods
from kubelambda.store.code.code_store import CodeStore

KEY = b"k" * 32


class Agent:
    """Answers `/hold` as it is told to."""

    def __init__(self) -> None:
        self.ip = free_address()
        self.status = 200
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    @property
    def pod(self) -> PodView:
        """Its pod."""
        return PodView(self.ip, "1", self.ip, True, False, False, 0, False, "", 0, "python3.13", "", "", "", "node")

    async def hold(self, request: web.Request) -> web.Response:
        """Remembers what it is to hold."""
        layers = environment_protocol.parse_layers(await request.read())
        self.asked.append((request.headers["Authorization"], tuple(layer.sha256 for layer in layers)))
        return web.json_response({"message": "as the test says"}, status=self.status)


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    """One pod's."""
    found = Agent()
    app = web.Application()
    app.router.add_post("/hold", found.hold)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, found.ip, environment_protocol.CONTROL_PORT).start()
    yield found
    await runner.cleanup()


def configuration(*digests: str) -> DeployedConfiguration:
    """Of a function with large layers."""
    layers = [{"arn": "a", "sha256": digest, "size": WORTH_BYTES + 1} for digest in digests]
    found = {"revision": "0" * 16, "runtime": "python3.13", "handler": "h", "code": {"sha256": "c", "size": 1}}
    more = {"memorySize": 128, "timeout": 3, "logGroup": "/g", "layers": layers}
    return DeployedConfiguration.model_validate(found | more)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def held(clock: Clock, *agents: Agent) -> HeldPods:
    """Over a pool of these pods."""

    def idle(namespace: str, pool: str) -> Iterator[tuple[str, PodView]]:
        assert (namespace, pool) == ("team", "python3.13")
        return iter([(each.ip, each.pod) for each in agents])

    return HeldPods(Archives(CodeStore("http://store", KEY)), KEY, idle, clock=clock)


async def settled(found: HeldPods) -> None:
    """Until every pod that was told has answered."""
    await found._tasks.wait()


async def test_a_pod_is_told_once(agent: Agent) -> None:
    """With the pool's token; then it is the first choice for the function, and the last one for any other."""
    clock = Clock()
    found, wanted = held(clock, agent), configuration("one", "two")
    found.look()
    assert agent.asked == []
    found.claimed("team", "python3.13", wanted)
    for _ in range(3):
        found.look()
        await settled(found)
    assert agent.asked == [(f"Bearer {tokens.pool_token(KEY, 'team')}", ("one", "two"))]
    uid = agent.pod.uid
    assert found.ranking(wanted)(uid) < found.ranking(wanted)("empty")
    assert found.ranking(configuration("two"))("empty") < found.ranking(configuration("two"))(uid)
    clock.now += HOLD_S + 1
    found.look()
    found.forget(uid)
    assert found.ranking(wanted)(uid) == found.ranking(wanted)("empty")


async def test_a_pod_that_fails_is_left_alone_for_a_while(agent: Agent) -> None:
    """It counts as empty meanwhile."""
    agent.status = 502
    clock = Clock()
    found, wanted = held(clock, agent), configuration("one")
    found.claimed("team", "python3.13", wanted)
    for _ in range(3):
        found.look()
        await settled(found)
    assert len(agent.asked) == 1
    assert found.ranking(wanted)(agent.pod.uid) == found.ranking(wanted)("empty")
    agent.status, clock.now = 200, clock.now + 31
    found.look()
    await settled(found)
    assert len(agent.asked) == 2
    assert found.ranking(wanted)(agent.pod.uid) < found.ranking(wanted)("empty")


async def test_a_pod_that_was_taken_meanwhile_is_told_nothing(agent: Agent) -> None:
    """Nor is one that cannot be reached waited for."""
    clock = Clock()
    found, wanted = held(clock, agent), configuration("one")
    found.claimed("team", "python3.13", wanted)
    found.look()
    found.forget(agent.pod.uid)
    await settled(found)
    assert agent.asked == []
    gone = Agent()
    found = held(clock, gone)
    found.claimed("team", "python3.13", wanted)
    found.look()
    async with asyncio.timeout(60):
        await settled(found)
    assert found.ranking(wanted)(gone.pod.uid) == found.ranking(wanted)("empty")
