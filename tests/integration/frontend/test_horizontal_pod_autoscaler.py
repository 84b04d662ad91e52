"""An Alias under a HorizontalPodAutoscaler: that of the real kube-controller-manager, by what a real frontend measures.

The external metrics API, which an adapter of Prometheus serves elsewhere, is a part of this test: it asks the frontend.
"""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.eventually import eventually
from tests.integration.control_plane import ADMIN_TOKEN, BINARIES, ControlPlane
from tests.integration.frontend.moving_alias import Callers, point, publish, serving
from tests.integration.frontend.publishing import SHOW, sample
from tests.integration.loopback import Cluster
from tests.integration.processes import Installation
from tests.integration.replica_sets import ReplicaSets
from tests.ports import free_port

from kubelambda.frontend.frontend import Frontend
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ALIASES

METRIC = "kubelambda_provisioned_concurrency_utilization"
GROUP = "external.metrics.k8s.io"
VERSION = f"{GROUP}/v1beta1"
API_SERVICE = f"v1beta1.{GROUP}"
SLOW = f"CODE = 1\n{SHOW}".replace("    names =", "    import time; time.sleep(0.3)\n    names =")


@pytest.fixture
async def whole(store_running: Installation, cluster: Cluster) -> AsyncIterator[Cluster]:
    """A namespace in which Deployments have pods, and an operator."""
    operator, _ = await asyncio.to_thread(store_running.operator)
    task = asyncio.create_task(ReplicaSets(cluster).run())
    yield cluster
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.to_thread(operator.stop)


def identity(folder: Path) -> ssl.SSLContext:
    """A certificate that nobody signed."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=metrics"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(certificate, key)
    return found


@contextlib.asynccontextmanager
async def external_metrics(
    control_plane: ControlPlane, cluster: Cluster, frontend: Frontend, folder: Path
) -> AsyncIterator[None]:
    """The API, as the API server finds it: by a Service that leads to this machine."""

    async def resources(_: web.Request) -> web.Response:
        metric = {"name": METRIC, "singularName": "", "namespaced": True, "kind": "ExternalMetricValueList"}
        found: Object = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": VERSION}
        return web.json_response(found | {"resources": [metric | {"verbs": ["get"]}]})

    async def values(request: web.Request) -> web.Response:
        labels = dict(each.split("=", 1) for each in request.query["labelSelector"].split(","))
        found = sample(frontend.metrics.registry, METRIC, labels | {"namespace": request.match_info["namespace"]})
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        item = {"metricName": METRIC, "metricLabels": labels, "timestamp": now}
        items = [] if found is None else [item | {"value": f"{round(1000 * found)}m"}]
        answer: Object = {"kind": "ExternalMetricValueList", "apiVersion": VERSION, "metadata": {}, "items": items}
        return web.json_response(answer)

    app = web.Application()
    app.router.add_get(f"/apis/{VERSION}", resources)
    app.router.add_get(f"/apis/{VERSION}/namespaces/{{namespace}}/{METRIC}", values)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=identity(folder)).start()
    service = {"name": "external-metrics", "namespace": cluster.namespace}
    leads_here = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]}
    registered: Object = {"service": service | {"port": port}, "group": GROUP, "version": "v1beta1"}
    registered |= {"insecureSkipTLSVerify": True, "groupPriorityMinimum": 100, "versionPriority": 100}
    kind = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": API_SERVICE}}
    manifests: list[Any] = [{"apiVersion": "v1", "kind": "Service", "metadata": service, "spec": leads_here}]
    try:
        await run(control_plane.apply, [*manifests, kind | {"spec": registered}])
        available = ("--for=condition=Available", f"apiservice/{API_SERVICE}", "--timeout=90s")
        await run(control_plane.kubectl, "wait", *available)
        yield
    finally:
        await run(control_plane.kubectl, "delete", "apiservice", API_SERVICE)
        await runner.cleanup()


async def run(work: Any, *arguments: Any) -> None:
    """A call of kubectl that must succeed, while this process serves."""
    finished = await asyncio.to_thread(work, *arguments)
    assert finished.returncode == 0, finished.stderr


@pytest.fixture
def autoscalers(control_plane: ControlPlane, tmp_path: Path) -> Iterator[None]:
    """The controller of autoscalers, which looks every second instead of every fifteen."""
    command = [str(BINARIES / "kube-controller-manager"), f"--kubeconfig={control_plane.kubeconfig(ADMIN_TOKEN)}"]
    command += ["--controllers=horizontal-pod-autoscaler-controller", "--leader-elect=false", "--secure-port=0"]
    command += ["--horizontal-pod-autoscaler-sync-period=1s"]
    with (tmp_path / "controller-manager.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    yield
    process.kill()
    process.wait()


def autoscaler(namespace: str) -> Object:
    """Keeps the utilization of the alias at a half, with one to four environments."""
    series = {"name": METRIC, "selector": {"matchLabels": {"function": "f", "qualifier": "live"}}}
    metric = {"type": "External", "external": {"metric": series, "target": {"type": "Value", "value": "500m"}}}
    target = {"apiVersion": ALIASES.api_version, "kind": "Alias", "name": "f-live"}
    spec: Object = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 4, "metrics": [metric]}
    spec["behavior"] = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    metadata = {"name": "f-live", "namespace": namespace}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec}


@pytest.mark.usefixtures("autoscalers")
async def test_a_horizontal_pod_autoscaler_scales_an_alias_out_and_in(
    whole: Cluster, control_plane: ControlPlane, tmp_path: Path
) -> None:
    """By its utilization: one caller in a closed loop needs two, and none needs one; nobody gets an error."""
    await publish(whole, 1, SLOW)
    await point(whole, 1)
    frontend = await whole.frontend()
    await serving(whole, frontend, 1)

    async def units() -> Object:
        found: Object = (await whole.client.get(ALIASES, "f-live", whole.namespace))["status"]["provisionedConcurrency"]
        return found

    async def scaled_out() -> bool:
        return bool((await units())["available"] >= 2)

    async def scaled_in() -> bool:
        return bool((await units())["requested"] == 1)

    async with external_metrics(control_plane, whole, frontend, tmp_path):
        async with Callers(whole) as callers:
            await run(control_plane.apply, [autoscaler(whole.namespace)])
            await eventually(scaled_out, 120)
        await eventually(scaled_in, 120)
        scope = ("--namespace", whole.namespace)
        told_so = await asyncio.to_thread(control_plane.kubectl, *scope, "describe", "hpa", "f-live")
        assert "ScalingActive   True" in told_so.stdout, told_so.stdout
        await run(control_plane.kubectl, *scope, "delete", "hpa", "f-live")
    assert callers.kinds == {(200, "provisioned-concurrency")}, callers.seen
