"""The same load and the same three runs without a cluster: `python -m bench.scaling.local`.

Operator, frontend, code store, agents, runtimes, API server and Prometheus are real processes on this machine. Only the
kubelet and the ReplicaSet controller are played, by what the integration tests use.
"""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.integration.control_plane import ADMIN_TOKEN, FRONTEND_TOKEN, SYSTEM_NAMESPACE, ControlPlane
from tests.integration.loopback import Agents, Cluster
from tests.integration.preparation import start
from tests.integration.processes import KEY, Installation, http, wait_for_http
from tests.integration.replica_sets import ReplicaSets
from tests.ports import free_port

from bench.scaling import measure
from kubelambda.api import labels
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import ALIASES, DEPLOYMENTS, FUNCTIONS, NAMESPACES, PODS, Resource
from kubelambda.store.code.code_store import CodeStore

NAMESPACE = "load"
_AT_ONCE = 4
"""Pods that the kubelet starts side by side."""


class Kubelet(Agents):
    """Starts some pods at once, as one does."""

    async def run(self) -> None:
        """Until cancelled."""
        busy: dict[str, asyncio.Task[None]] = {}
        slots = asyncio.Semaphore(_AT_ONCE)

        async def look(pod: Object) -> None:
            async with slots:
                await self._pod(pod)

        while True:
            with contextlib.suppress(KubeError):
                pods = (await self._client.list(PODS, self._namespace))["items"]
                busy = {name: task for name, task in busy.items() if not task.done()}
                for pod in pods:
                    name = pod["metadata"]["name"]
                    if name not in busy and (name not in self.processes or "deletionTimestamp" in pod["metadata"]):
                        busy[name] = asyncio.create_task(look(pod))
                names = {pod["metadata"]["name"] for pod in pods}
                for name in [name for name in self.processes if name not in names and name not in busy]:
                    self.end(name)
                await self._probe()
            await asyncio.sleep(0.2)


@contextlib.contextmanager
def prometheus(folder: Path, port: int, scraped: int) -> Iterator[None]:
    """A real one, which asks the frontend every second."""
    program = shutil.which("prometheus")
    if program is None:
        sys.exit(
            "bench: Prometheus is needed: install it with your package manager (Debian: apt-get install prometheus)"
        )
    target = f"[{{targets: ['127.0.0.1:{scraped}']}}]"
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs: [{{job_name: frontends, honor_labels: true, static_configs: {target}}}]\n"
    )
    command = [program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]) as process:
        yield
        process.terminate()


class Local:
    """The parts of an installation, with its functions in one namespace."""

    def __init__(self, client: KubeClient, port: int, metrics_port: int) -> None:
        self.client = client
        self.port = port
        self.metrics_port = metrics_port

    async def apply(self, resource: Resource, name: str, spec: Object) -> None:
        """As a user does."""
        metadata = {"name": name, "namespace": NAMESPACE}
        manifest = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": spec}
        await self.client.apply(resource, manifest, manager="bench")

    async def make(self, name: str, provisioned: Object | None) -> None:
        """A published function and its alias `live`, with all of its environments there."""
        await self.apply(FUNCTIONS, name, measure.FUNCTION)
        alias: Object = {"functionName": name, "name": "live", "functionVersion": "1"}
        alias |= {"provisionedConcurrency": provisioned} if provisioned else {}
        await self.apply(ALIASES, f"{name}-live", alias)
        awaited = "ProvisionedConcurrencyReady" if provisioned else "Ready"
        for _ in range(1200):
            found = await self.client.get(ALIASES, f"{name}-live", NAMESPACE)
            conditions = found.get("status", {}).get("conditions", [])
            if any(each["type"] == awaited and each["status"] == "True" for each in conditions):
                return
            await asyncio.sleep(0.1)
        raise RuntimeError(f"{name} did not become {awaited}: {conditions}")

    async def drop(self, name: str) -> None:
        """With its alias and its environments: nobody collects garbage here."""
        await self.client.delete(ALIASES, f"{name}-live", NAMESPACE)
        await self.client.delete(FUNCTIONS, name, NAMESPACE)
        for resource, label in ((DEPLOYMENTS, labels.PROVISIONED), (PODS, labels.FUNCTION)):
            for body in (await self.client.list(resource, NAMESPACE, label_selector=label))["items"]:
                with contextlib.suppress(KubeError):
                    await self.client.delete(resource, body["metadata"]["name"], NAMESPACE)
        await asyncio.sleep(10)

    def series(self, name: str) -> dict[str, float]:
        """What the frontend says of the alias."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            return measure.parse_series(name, [answer.read().decode()])


def start_frontend(installation: Installation, control_plane: ControlPlane, port: int, metrics_port: int) -> None:
    """A frontend whose metrics are on a port that Prometheus knows, once it is ready."""
    arguments = ["frontend", f"--kubeconfig={control_plane.kubeconfig(FRONTEND_TOKEN)}"]
    installation._start("frontend", [*arguments, f"--port={port}", f"--metrics-port={metrics_port}"])  # noqa: SLF001
    wait_for_http(f"http://127.0.0.1:{port}/healthz")
    while http(f"http://127.0.0.1:{port}/readyz")[0] != 200:
        time.sleep(0.1)


@contextlib.asynccontextmanager
async def running(folder: Path, control_plane: ControlPlane) -> AsyncIterator[Local]:
    """Everything, and its end."""
    port, metrics_port, prometheus_port = free_port(), free_port(), free_port()
    autoscaling = {"periodSeconds": 2, "scaleOutDatapoints": 2, "scaleInDatapoints": 4}
    installation = Installation(
        folder,
        control_plane,
        SYSTEM_NAMESPACE,
        autoscaling=autoscaling | {"prometheus": {"url": f"http://127.0.0.1:{prometheus_port}"}},
        network={"requireEnforcement": False, "settleSeconds": 0},
        defaultNamespace=NAMESPACE,
    )
    client = await KubeClient.connect(str(control_plane.kubeconfig(ADMIN_TOKEN)))
    await client.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    installation.code_store()
    installation.operator()
    start_frontend(installation, control_plane, port, metrics_port)
    agents = Kubelet(client, NAMESPACE, folder)
    async with CodeStore(installation.store_url, KEY) as store, contextlib.AsyncExitStack() as stack:
        stack.enter_context(prometheus(folder, prometheus_port, metrics_port))
        cluster = await stack.enter_async_context(Cluster(client, NAMESPACE, agents, store, SYSTEM_NAMESPACE))
        tasks = [
            asyncio.create_task(ReplicaSets(cluster, kind=kind).run()) for kind in (labels.PROVISIONED, labels.POOL)
        ]
        try:
            yield Local(client, port, metrics_port)
        finally:
            for task in tasks:
                task.cancel()
            installation.stop()
    await client.close()


async def measure_all(folder: Path, control_plane: ControlPlane) -> dict[str, Any]:
    """All three runs."""
    results = measure.described("one machine, without a cluster")
    async with running(folder, control_plane) as local:
        for kind, provisioned in measure.RUNS.items():
            name = f"load-{kind}"
            print(f"  {kind}", file=sys.stderr, flush=True)
            await local.make(name, provisioned)
            path = f"/2015-03-31/functions/{name}:live/invocations"
            results["runs"][kind] = await asyncio.to_thread(
                measure.run,
                ("127.0.0.1", local.port),
                path,
                partial(local.series, name),
            )
            await local.drop(name)
    return results


def main() -> None:
    """Measures, and leaves nothing behind."""
    with tempfile.TemporaryDirectory() as folder:
        control_plane = ControlPlane(Path(folder, "control-plane"))
        Path(folder, "installation").mkdir()
        try:
            start(control_plane)
            results = asyncio.run(measure_all(Path(folder, "installation"), control_plane))
        finally:
            control_plane.stop()
    measure.RESULTS.write_text(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
