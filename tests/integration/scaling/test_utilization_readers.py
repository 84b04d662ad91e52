"""Utilization out of a real Prometheus, and straight from exposition: the same figures, and never a wrong one."""

import asyncio
import contextlib
import shutil
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server
from tests.ports import free_port

from kubelambda.api.settings import PrometheusSettings
from kubelambda.autoscaler.prometheus_reader import PrometheusReader
from kubelambda.autoscaler.scrape_reader import ScrapeReader
from kubelambda.autoscaler.utilization import (
    ALLOCATED,
    INVOCATIONS,
    UTILIZATION,
    ScalableTarget,
    Utilization,
    UtilizationUnavailable,
)
from kubelambda.core.scaling.target_tracking import Alarms, TrackingPolicy, scale

ALARMS = Alarms(period=2.0, out_datapoints=2, in_datapoints=5)
LABELS = ("namespace", "function", "qualifier")
BUSY = ScalableTarget("team", "busy", "live")
IDLE = ScalableTarget("team", "idle", "live")


class Exposition:
    """What a frontend says of two aliases: one that is used and one that is not."""

    def __init__(self, targets: Sequence[tuple[ScalableTarget, float]] = ((BUSY, 0.75), (IDLE, 0.0))) -> None:
        registry = CollectorRegistry()
        utilization = Gauge(UTILIZATION, "u", LABELS, registry=registry)
        allocated = Gauge(ALLOCATED, "a", LABELS, registry=registry)
        invocations = Counter(INVOCATIONS, "i", LABELS, registry=registry)
        for target, share in targets:
            utilization.labels(*target).set(share)
            allocated.labels(*target).set(4)
            invocations.labels(*target)
        self._busy = invocations.labels(*BUSY)
        self.port = free_port()
        self._server, _ = start_http_server(self.port, addr="127.0.0.1", registry=registry)
        self._serving = True

    def invoke(self) -> None:
        """One more invocation of the busy alias."""
        self._busy.inc()

    def close(self) -> None:
        """Ends the server."""
        if self._serving:
            self._server.shutdown()
            self._server.server_close()
        self._serving = False


@pytest.fixture
def exposition() -> Iterator[Exposition]:
    """A running one."""
    found = Exposition()
    yield found
    found.close()


class Prometheus:
    """A real one that scrapes some addresses twice a second."""

    def __init__(self, folder: Path, targets: list[int]) -> None:
        found = shutil.which("prometheus")
        assert found, "install Debian's package prometheus, or run `make test-binaries`"
        self._program = found
        self._folder = folder
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        addresses = [f"127.0.0.1:{port}" for port in targets]
        # As the Prometheus operator has it from our ServiceMonitor: the pods' namespace is a label beside ours.
        static = f"[{{targets: {addresses}, labels: {{namespace: kubelambda-system}}}}]"
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\n"
            f"scrape_configs: [{{job_name: frontends, honor_labels: true, static_configs: {static}}}]\n"
        )
        self.start()

    def start(self) -> None:
        """Begins, and returns once it answers."""
        command = [self._program, f"--config.file={self._folder / 'prometheus.yml'}"]
        command += [f"--storage.tsdb.path={self._folder / 'data'}", f"--web.listen-address=127.0.0.1:{self._port}"]
        self._process = subprocess.Popen([*command, "--log.level=error"])
        _wait_for(f"{self.url}/-/ready")

    def kill(self, *, lose_data: bool = False) -> None:
        """Ends at once; its volume may go with it."""
        self._process.kill()
        self._process.wait()
        if lose_data:
            shutil.rmtree(self._folder / "data")


@pytest.fixture
def running(exposition: Exposition, tmp_path: Path) -> Iterator[Prometheus]:
    """A real Prometheus that scrapes the exposition."""
    found = Prometheus(tmp_path, [exposition.port])
    yield found
    found.kill()


@pytest.fixture
def prometheus(running: Prometheus) -> str:
    """Its URL."""
    return running.url


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.1)


async def test_prometheus_gives_averages_of_what_is_used_and_knows_what_is_idle(
    exposition: Exposition, prometheus: str
) -> None:
    """With the queries that the chart brings."""
    async with PrometheusReader(PrometheusSettings(url=prometheus), ALARMS) as reader:
        deadline = time.monotonic() + 90
        while True:
            exposition.invoke()
            found = await reader.read(time.time())
            # A scrape that took too long ends what is known of now, until the next one.
            if BUSY in found and len(found[BUSY].samples) >= 3 and found[BUSY].allocated:
                break
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.2)
    assert {round(sample.utilization, 6) for sample in found[BUSY].samples} == {0.75}
    assert found[BUSY].allocated == 4
    assert (list(found[IDLE].samples), found[IDLE].allocated) == ([], 4)


async def full(exposition: Exposition, reader: PrometheusReader) -> Utilization:
    """What is known of the busy alias once there are enough datapoints to scale out by."""
    deadline = time.monotonic() + 90
    while True:
        exposition.invoke()
        found = (await reader.read(time.time())).get(BUSY, Utilization())
        if len(found.samples) >= ALARMS.out_datapoints and found.allocated:
            return found
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)


def capacity(found: Utilization) -> int:
    """What target tracking makes of four environments."""
    policy = TrackingPolicy(target=0.5, minimum=1, maximum=100)
    return scale(policy, 4, found.samples, now=time.time(), alarms=ALARMS).capacity


async def test_a_prometheus_that_lost_its_data_scales_nothing_until_it_has_enough_again(
    exposition: Exposition, running: Prometheus
) -> None:
    """Restarted without its volume: what it does not know is not taken for an idle alias, nor for a busy one."""
    async with PrometheusReader(PrometheusSettings(url=running.url), ALARMS) as reader:
        assert capacity(await full(exposition, reader)) == 6
        running.kill(lose_data=True)
        with pytest.raises(UtilizationUnavailable, match="does not answer"):
            await reader.read(time.time())
        running.start()
        seen, deadline = [4], time.monotonic() + 90
        while seen[-1] == 4:
            exposition.invoke()
            found = (await reader.read(time.time())).get(BUSY, Utilization())
            seen.append(capacity(found))
            assert len(found.samples) >= ALARMS.out_datapoints or seen[-1] == 4
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.2)
    assert seen[-1] == 6


async def test_a_frontend_that_is_missing_from_the_scrape_is_not_an_idle_alias(
    exposition: Exposition, tmp_path: Path
) -> None:
    """One that has nothing to say of an alias changes nothing; without the one that has, nothing is known of it."""
    other, running = Exposition(targets=()), None
    try:
        running = Prometheus(tmp_path, [exposition.port, other.port])
        async with PrometheusReader(PrometheusSettings(url=running.url), ALARMS) as reader:
            await full(exposition, reader)
            other.close()
            assert (await full(exposition, reader)).allocated == 4
            exposition.close()
            deadline = time.monotonic() + 90
            while (await reader.read(time.time())).get(BUSY, Utilization()).allocated is not None:
                assert time.monotonic() < deadline, "it still knows what nobody says"
                await asyncio.sleep(0.2)
    finally:
        if running is not None:
            running.kill()


@pytest.mark.parametrize(("shift", "word"), [(600.0, "ahead of"), (-600.0, "behind")])
async def test_a_prometheus_whose_clock_is_off_is_not_believed(
    exposition: Exposition, prometheus: str, shift: float, word: str
) -> None:
    """What it calls now was ten minutes ago, or is still to come."""
    async with aiohttp.ClientSession() as session, shifted(session, prometheus, shift) as url:
        async with PrometheusReader(PrometheusSettings(url=url), ALARMS) as reader:
            with pytest.raises(UtilizationUnavailable, match=f"clock is (59|60)[0-9] s {word} the operator's"):
                await reader.read(time.time())
        async with PrometheusReader(PrometheusSettings(url=prometheus), ALARMS) as reader:
            await full(exposition, reader)


@contextlib.asynccontextmanager
async def shifted(session: aiohttp.ClientSession, url: str, shift: float) -> AsyncIterator[str]:
    """URL of the Prometheus as it would be on a machine whose clock is `shift` seconds ahead."""

    async def query(request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        for name in ("time", "start", "end"):
            if name in form:
                form[name] = repr(float(form[name]) - shift)
        async with session.post(f"{url}{request.path}", data=form) as answer:
            found = await answer.json()
        if found["data"]["resultType"] == "scalar":
            found["data"]["result"] = [at + shift if isinstance(at, float) else at for at in found["data"]["result"]]
            found["data"]["result"][1] = repr(float(found["data"]["result"][1]) + shift)
        return web.json_response(found)

    app = web.Application()
    app.router.add_post("/api/v1/{kind}", query)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "success"},
        {"status": "success", "data": {"resultType": "vector", "result": []}},
        {"status": "success", "data": {"resultType": "scalar", "result": "soon"}},
        {"status": "success", "data": {"resultType": "scalar", "result": [0, 10**400]}},
        ["success"],
    ],
)
async def test_an_answer_in_another_format_is_none(answer: object) -> None:
    """Whoever it is that listens there: the aliases freeze, and the loop goes on."""

    async def wrong(_: web.Request) -> web.Response:
        return web.json_response(answer)

    app = web.Application()
    app.router.add_post("/api/v1/query", wrong)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with PrometheusReader(PrometheusSettings(url=f"http://127.0.0.1:{port}"), ALARMS) as reader:
            with pytest.raises(UtilizationUnavailable):
                await reader.read(time.time())
    finally:
        await runner.cleanup()


async def test_a_query_that_loses_the_labels_is_refused(exposition: Exposition, prometheus: str) -> None:
    """Else the utilization of one alias would move another."""
    async with PrometheusReader(PrometheusSettings(url=prometheus), ALARMS) as reader:
        deadline = time.monotonic() + 90
        while BUSY not in await reader.read(time.time()):
            assert time.monotonic() < deadline, "nothing was scraped"
            await asyncio.sleep(0.2)
    settings = PrometheusSettings(url=prometheus, allocated_query=f"sum({ALLOCATED})")
    deadline, why = time.monotonic() + 90, ""
    async with PrometheusReader(settings, ALARMS) as reader:
        while not why:  # the sum of nothing is nothing: after a scrape that took too long there is none to refuse
            assert time.monotonic() < deadline, "it was believed"
            try:
                await reader.read(time.time())
            except UtilizationUnavailable as error:
                why = str(error)
            await asyncio.sleep(0.2)
    assert "no label" in why


async def test_a_query_that_is_none_says_what_prometheus_says(prometheus: str) -> None:
    """For the person who wrote the value."""
    async with PrometheusReader(PrometheusSettings(url=prometheus, allocated_query="sum("), ALARMS) as reader:
        with pytest.raises(UtilizationUnavailable, match="parse error"):
            await reader.read(time.time())


async def test_a_server_that_is_away_or_is_no_prometheus_is_unavailable() -> None:
    """Never an empty answer, which would pass for an idle cluster."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>Grafana</html>")

    app = web.Application()
    app.router.add_post("/api/v1/query", page)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with PrometheusReader(PrometheusSettings(url=f"http://127.0.0.1:{port}"), ALARMS) as reader:
            with pytest.raises(UtilizationUnavailable, match="no JSON"):
                await reader.read(time.time())
    finally:
        await runner.cleanup()
    async with PrometheusReader(PrometheusSettings(url=f"http://127.0.0.1:{port}"), ALARMS) as reader:
        with pytest.raises(UtilizationUnavailable, match="does not answer"):
            await reader.read(time.time())


async def test_the_embedded_reader_gives_the_same(exposition: Exposition) -> None:
    """Straight from the frontends."""

    async def addresses() -> list[str]:
        return [f"127.0.0.1:{exposition.port}"]

    reader = ScrapeReader(addresses, ALARMS)
    async with aiohttp.ClientSession() as session:
        for at in range(8):
            exposition.invoke()
            await reader.look(session, 1000.0 + at)
    found = await reader.read(1008.0)
    assert [(sample.at, sample.utilization) for sample in found[BUSY].samples] == [
        (1002.0, 0.75),
        (1004.0, 0.75),
        (1006.0, 0.75),
        (1008.0, 0.75),
    ]
    assert (list(found[IDLE].samples), found[IDLE].allocated) == ([], 4)


async def test_one_frontend_that_does_not_answer_makes_the_embedded_reader_say_so(exposition: Exposition) -> None:
    """What the others say is only a part."""
    away = f"127.0.0.1:{free_port()}"

    async def addresses() -> list[str]:
        return [f"127.0.0.1:{exposition.port}", away]

    reader = ScrapeReader(addresses, ALARMS)
    async with aiohttp.ClientSession() as session:
        await reader.look(session, 1000.0)
    with pytest.raises(UtilizationUnavailable, match=away):
        await reader.read(1001.0)
