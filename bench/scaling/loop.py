"""What the scaling loop costs with a thousand aliases on a real API server: `python -m bench.scaling.loop [NUMBER]`.

Prometheus is played by a server that answers as one does; reading its answers is a part of what is measured. So is, for
clusters without one, a minute of looks at two frontends that have these aliases between them.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry
from tests.integration.control_plane import ADMIN_TOKEN, ControlPlane
from tests.integration.preparation import start
from tests.ports import free_port

from kubelambda.api.settings import PrometheusSettings
from kubelambda.autoscaler.alias_scaler import AliasScaler
from kubelambda.autoscaler.prometheus_reader import PrometheusReader
from kubelambda.autoscaler.scaling_metrics import ScalingMetrics
from kubelambda.autoscaler.scrape_reader import LOOKS_PER_PERIOD, ScrapeReader
from kubelambda.core.scaling.target_tracking import Alarms
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import ALIASES, NAMESPACES

_NAMESPACES = 10
_EVALUATIONS = 5
_AT_ONCE = 32
_FRONTENDS = 2
_GAUGES = ("utilization", "allocated", "available", "executing")


class Answers:
    """Utilization of every alias, in each of the last fifteen minutes."""

    def __init__(self, number: int) -> None:
        self.utilization = 0.65
        self._metrics = [
            {"namespace": f"loop-{index % _NAMESPACES}", "function": f"f-{index}", "qualifier": "live"}
            for index in range(number)
        ]

    async def answer(self, request: web.Request) -> web.Response:
        """As `/api/v1/query` and `/api/v1/query_range`."""
        form = await request.post()
        if form["query"] == "time()":
            return _success("scalar", [time.time(), repr(time.time())])
        if request.path.endswith("query"):
            return _success("vector", [{"metric": metric, "value": [0, "4"]} for metric in self._metrics])
        end, value = float(str(form["end"])), repr(self.utilization)
        values = [[end - 60 * (15 - minute), value] for minute in range(16)]
        return _success("matrix", [{"metric": metric, "values": values} for metric in self._metrics])

    async def metrics(self, _: web.Request) -> web.Response:
        """As half of the frontends say it."""
        lines: list[str] = []
        for metric in self._metrics[::_FRONTENDS]:
            found = ",".join(f'{name}="{value}"' for name, value in metric.items())
            lines += [f"kubelambda_provisioned_concurrency_{name}{{{found}}} {self.utilization}" for name in _GAUGES]
            found, count = f'{found},version="3"', f"{time.time():.1f}"
            lines += [
                f"kubelambda_{name}_invocations_total{{{found}}} {count}" for name in ("provisioned", "spillover")
            ]
        return web.Response(text="\n".join(lines) + "\n")


def _success(kind: str, result: object) -> web.Response:
    return web.Response(text=json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}))


@asynccontextmanager
async def serving(answers: Answers) -> AsyncIterator[str]:
    """Its URL."""
    app = web.Application()
    app.router.add_post("/api/v1/{kind}", answers.answer)
    app.router.add_get("/metrics", answers.metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def create(client: KubeClient, number: int) -> None:
    """So many aliases whose target is tracked."""
    for index in range(_NAMESPACES):
        await client.create(NAMESPACES, {"metadata": {"name": f"loop-{index}"}})
    free = asyncio.Semaphore(_AT_ONCE)
    tracking = {"targetValue": 0.7, "minCapacity": 1, "maxCapacity": 100}
    action = {"name": "morning", "schedule": "cron(0 8 ? * MON-FRI *)", "timezone": "Europe/Berlin", "minCapacity": 2}

    async def one(index: int) -> None:
        provisioned = {"provisionedConcurrentExecutions": 4, "targetTracking": tracking, "scheduledActions": [action]}
        spec = {"functionName": f"f-{index}", "name": "live", "functionVersion": "1"}
        manifest = {"apiVersion": ALIASES.api_version, "kind": "Alias", "metadata": {"name": f"f-{index}-live"}}
        async with free:
            body = {**manifest, "spec": {**spec, "provisionedConcurrency": provisioned}}
            await client.create(ALIASES, body, f"loop-{index % _NAMESPACES}")

    await asyncio.gather(*map(one, range(number)))


async def measure(control_plane: ControlPlane, number: int) -> dict[str, float]:
    """Seconds of one core for an evaluation of all aliases: with nothing to do, and when every one of them scales."""
    client = await KubeClient.connect(str(control_plane.kubeconfig(ADMIN_TOKEN)))
    answers, alarms = Answers(number), Alarms()
    try:
        await create(client, number)
        async with serving(answers) as url, PrometheusReader(PrometheusSettings(url=url), alarms) as reader:
            scaler = AliasScaler(client, reader, alarms, ScalingMetrics(CollectorRegistry()))

            async def evaluate() -> float:
                begun = time.process_time()
                await scaler.evaluate_all(datetime.now(UTC))
                return time.process_time() - begun

            await evaluate()
            steady = [await evaluate() for _ in range(_EVALUATIONS)]
            answers.utilization = 0.95
            scaling = await evaluate()
            looks = await _looks(url, alarms)
    finally:
        await client.close()
    return {
        "scaling_loop_aliases": number,
        "scaling_loop_cpu_s": sorted(steady)[len(steady) // 2],
        "scaling_loop_all_scale_cpu_s": scaling,
        "scaling_loop_embedded_cpu_s": looks,
    }


async def _looks(url: str, alarms: Alarms) -> float:
    """Seconds of one core for a minute of looks at the frontends, with what the server takes for its answers."""

    async def addresses() -> list[str]:
        return [url.removeprefix("http://")] * _FRONTENDS

    reader = ScrapeReader(addresses, alarms)
    begun = time.process_time()
    async with aiohttp.ClientSession() as session:
        for look in range(LOOKS_PER_PERIOD):
            await reader.look(session, time.time() + look)
    await reader.read(time.time())
    return time.process_time() - begun


def run(number: int = 1000) -> dict[str, float]:
    """The figures, with an API server of their own."""
    with tempfile.TemporaryDirectory() as folder:
        control_plane = ControlPlane(Path(folder, "control-plane"))
        try:
            start(control_plane)
            return asyncio.run(measure(control_plane, number))
        finally:
            control_plane.stop()


if __name__ == "__main__":
    for name, value in run(int(sys.argv[1]) if len(sys.argv) > 1 else 1000).items():
        print(f"{name:30} {value:>10.3f}")
