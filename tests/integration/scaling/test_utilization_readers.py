"""Utilization out of a real Prometheus, and straight from exposition: the same figures, and never a wrong one."""

import asyncio
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
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
    UtilizationUnavailable,
)
from kubelambda.core.scaling.target_tracking import Alarms

ALARMS = Alarms(period=2.0, out_datapoints=2, in_datapoints=5)
LABELS = ("namespace", "function", "qualifier")
BUSY = ScalableTarget("team", "busy", "live")
IDLE = ScalableTarget("team", "idle", "live")


class Exposition:
    """What a frontend says of two aliases: one that is used and one that is not."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        utilization = Gauge(UTILIZATION, "u", LABELS, registry=registry)
        allocated = Gauge(ALLOCATED, "a", LABELS, registry=registry)
        invocations = Counter(INVOCATIONS, "i", LABELS, registry=registry)
        for target, share in ((BUSY, 0.75), (IDLE, 0.0)):
            utilization.labels(*target).set(share)
            allocated.labels(*target).set(4)
            invocations.labels(*target)
        self._busy = invocations.labels(*BUSY)
        self.port = free_port()
        self._server, _ = start_http_server(self.port, addr="127.0.0.1", registry=registry)

    def invoke(self) -> None:
        """One more invocation of the busy alias."""
        self._busy.inc()

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def exposition() -> Iterator[Exposition]:
    """A running one."""
    found = Exposition()
    yield found
    found.close()


@pytest.fixture
def prometheus(exposition: Exposition, tmp_path: Path) -> Iterator[str]:
    """URL of a real Prometheus that scrapes the exposition twice a second."""
    program = shutil.which("prometheus")
    assert program, "install Debian's package prometheus, or run `make test-binaries`"
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\n"
        f"scrape_configs: [{{job_name: frontends, static_configs: [{{targets: ['127.0.0.1:{exposition.port}']}}]}}]\n"
    )
    port = free_port()
    command = [program, f"--config.file={configuration}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with subprocess.Popen(command) as process:
        try:
            _wait_for(f"http://127.0.0.1:{port}/-/ready")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
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
        deadline = time.monotonic() + 60
        while True:
            exposition.invoke()
            found = await reader.read(time.time())
            if BUSY in found and len(found[BUSY].samples) >= 3:
                break
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.2)
    assert {round(sample.utilization, 6) for sample in found[BUSY].samples} == {0.75}
    assert found[BUSY].allocated == 4
    assert (list(found[IDLE].samples), found[IDLE].allocated) == ([], 4)


async def test_a_query_that_loses_the_labels_is_refused(exposition: Exposition, prometheus: str) -> None:
    """Else the utilization of one alias would move another."""
    async with PrometheusReader(PrometheusSettings(url=prometheus), ALARMS) as reader:
        deadline = time.monotonic() + 30
        while BUSY not in await reader.read(time.time()):
            assert time.monotonic() < deadline, "nothing was scraped"
            await asyncio.sleep(0.2)
    settings = PrometheusSettings(url=prometheus, allocated_query=f"sum({ALLOCATED})")
    async with PrometheusReader(settings, ALARMS) as reader:
        with pytest.raises(UtilizationUnavailable, match="no label"):
            await reader.read(time.time())


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
