"""Probes that mean something: what makes the operator unhealthy, and what only unready."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from tests.ports import free_port

from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.machinery.health import Health, Vitals
from kubelambda.controllers.machinery.work_queue import Key, WorkQueue


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


async def test_whoever_sends_nothing_keeps_no_probe_out(probed: Probed) -> None:
    """However many connections begin a request and do not go on: with its head, or with a body that nobody wants."""
    begun = [b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"] * 40
    async with AsyncExitStack() as stack:
        for each in begun:
            _, writer = await asyncio.open_connection("127.0.0.1", probed.port)
            stack.callback(writer.close)
            writer.write(each)
        await asyncio.sleep(0.1)
        assert (await probed.get("/healthz"))[0] == 200


async def test_a_leader_is_ready_once_it_has_read_the_cluster(probed: Probed) -> None:
    """Reading is no illness."""
    probed.vitals.lease_age = lambda: 1.0
    assert (await probed.get("/healthz"))[0] == 200
    assert await probed.get("/readyz") == (503, "the cluster is being read")
    probed.vitals.watching.loaded = True
    assert (await probed.get("/readyz"))[0] == 200


async def test_a_replica_is_ready_once_it_is_known_that_it_could_lead(probed: Probed) -> None:
    """A rollout stops at one that could not, while the old one leads."""
    probed.vitals.checked = lambda: False
    assert (await probed.get("/healthz"))[0] == 200
    assert await probed.get("/readyz") == (503, "what a leader needs is being imported")
    probed.vitals.checked = lambda: True
    assert (await probed.get("/readyz"))[0] == 200


async def test_a_silent_api_server_makes_unready_only(probed: Probed) -> None:
    """A restart would not bring it back."""
    probed.vitals.contact = lambda: time.monotonic() - 100
    assert (await probed.get("/healthz"))[0] == 200
    status, text = await probed.get("/readyz")
    assert (status, text) == (503, "the API server has not answered for 100 s")


def waiting(seconds: float, *, since_finished: float) -> WorkQueue:
    """A queue with one due key."""
    found = WorkQueue(observe=lambda *_: None)
    found._due[Key("Function", "a", "one")] = time.monotonic() - seconds
    found._finished = time.monotonic() - since_finished
    return found


async def test_keys_that_nobody_works_on_are_an_illness(probed: Probed) -> None:
    """The queue is named."""
    probed.vitals.queues = {"quick": waiting(0, since_finished=900), "Download": waiting(302, since_finished=301.5)}
    status, text = await probed.get("/healthz")
    found = re.fullmatch(r"keys wait in the queue Download, and none was finished for (\d+) s", text)
    assert found is not None, text
    assert (status, 302 <= int(found[1]) < 400) == (503, True)  # it grows while it is asked for


async def test_a_long_wait_behind_slow_work_is_no_illness(probed: Probed) -> None:
    """As long as some of it is finished: whoever names slow servers cannot end the operator."""
    probed.vitals.queues = {"Download": waiting(3600, since_finished=120)}
    assert await probed.get("/healthz") == (200, "ok")


async def test_deaf_watches_are_an_illness(probed: Probed) -> None:
    """The process lives and hears nothing: only a restart helps."""
    probed.vitals.watching.deaf = {"Function"}
    assert await probed.get("/healthz") == (503, "changes of Function are listed that no watch delivered")


async def test_objects_that_cannot_be_read_are_counted(probed: Probed) -> None:
    """By kind, and no more once they can."""
    probed.vitals.watching.unreadable[WATCHED_FUNCTIONS, ("a", "one")] = "uid/1"
    line = 'kubelambda_unreadable_objects{kind="Function"} 1.0'
    assert line in (await probed.get("/metrics"))[1].splitlines()
    probed.vitals.watching.unreadable.clear()
    assert line not in (await probed.get("/metrics"))[1].splitlines()


async def test_metrics_show_reconciliations_and_queues(probed: Probed) -> None:
    """Under names that dashboards can rely on."""
    probed.vitals.queues = {"quick": waiting(1.5, since_finished=0)}
    probed.vitals.lease_age = lambda: 2.0
    probed.health.observe("Function", "error", 0.3)
    text = (await probed.get("/metrics"))[1]
    for line in (
        'kubelambda_reconcile_total{kind="Function",outcome="error"} 1.0',
        'kubelambda_reconcile_duration_seconds_bucket{kind="Function",le="0.5"} 1.0',
        'kubelambda_queue_depth{queue="quick"} 1.0',
        "kubelambda_leader 1.0",
        "kubelambda_lease_age_seconds 2.0",
    ):
        assert line in text.splitlines()
    age = next(line for line in text.splitlines() if line.startswith('kubelambda_queue_age_seconds{queue="quick"}'))
    assert 1.5 <= float(age.split()[1]) < 60
