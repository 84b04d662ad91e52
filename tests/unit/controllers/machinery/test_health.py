"""Probes that mean something: what makes the operator unhealthy, and what only unready."""

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from tests.integration.control_plane import free_port

from kubelambda.controllers.machinery.health import Health, Vitals


class Probed:
    """A served Health and the vitals that it looks at."""

    def __init__(self) -> None:
        self.vitals = Vitals()
        self.health = Health(self.vitals)
        self.port = free_port()

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}{path}") as response:
            return response.status, await response.text()


@pytest.fixture
async def probed() -> AsyncIterator[Probed]:
    """A server of the probes."""
    found = Probed()
    serving = asyncio.create_task(found.health.serve(found.port))
    async with asyncio.timeout(5):
        while True:
            try:
                await found.get("/healthz")
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)
            else:
                break
    yield found
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_a_follower_is_healthy_and_ready(probed: Probed) -> None:
    """It has nothing to do."""
    assert await probed.get("/healthz") == (200, "ok")
    assert await probed.get("/readyz") == (200, "ok")


async def test_a_leader_is_ready_once_it_has_read_the_cluster(probed: Probed) -> None:
    """Reading is no illness."""
    probed.vitals.lease_age = lambda: 1.0
    assert (await probed.get("/healthz"))[0] == 200
    assert await probed.get("/readyz") == (503, "the cluster is being read")
    probed.vitals.loaded = True
    assert (await probed.get("/readyz"))[0] == 200


async def test_a_silent_api_server_makes_unready_only(probed: Probed) -> None:
    """A restart would not bring it back."""
    probed.vitals.contact = lambda: time.monotonic() - 100
    assert (await probed.get("/healthz"))[0] == 200
    status, text = await probed.get("/readyz")
    assert (status, text) == (503, "the API server has not answered for 100 s")


async def test_a_key_that_nobody_works_on_is_an_illness(probed: Probed) -> None:
    """The queue is named."""
    probed.vitals.queues = {"quick": lambda: (1, 0.0), "downloads": lambda: (2, 301.0)}
    assert await probed.get("/healthz") == (503, "a key waits in the queue downloads for 301 s")


async def test_deaf_watches_are_an_illness(probed: Probed) -> None:
    """The process lives and hears nothing: only a restart helps."""
    probed.vitals.deaf = lambda: True
    assert await probed.get("/healthz") == (503, "changes are listed that no watch delivered")


async def test_metrics_show_reconciliations_and_queues(probed: Probed) -> None:
    """Under names that dashboards can rely on."""
    probed.vitals.queues = {"quick": lambda: (3, 1.5)}
    probed.vitals.lease_age = lambda: 2.0
    probed.health.observe("Function", "error", 0.3)
    text = (await probed.get("/metrics"))[1]
    for line in (
        'kubelambda_reconcile_total{kind="Function",outcome="error"} 1.0',
        'kubelambda_reconcile_duration_seconds_bucket{kind="Function",le="0.5"} 1.0',
        'kubelambda_queue_depth{queue="quick"} 3.0',
        'kubelambda_queue_age_seconds{queue="quick"} 1.5',
        "kubelambda_leader 1.0",
        "kubelambda_lease_age_seconds 2.0",
    ):
        assert line in text.splitlines()
