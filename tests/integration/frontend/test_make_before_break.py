"""Provisioned aliases with the real operator and real frontends; a ReplicaSet's part is played here."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from tests.integration.frontend.publishing import SHOW
from tests.integration.loopback import RUNTIME_NAME, Cluster, eventually
from tests.integration.processes import Installation

from kubelambda.api import labels
from kubelambda.kube.errors import KubeError, NotFound
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ALIASES, DEPLOYMENTS, FUNCTION_VERSIONS, FUNCTIONS, PODS, Resource


class ReplicaSets:
    """Keeps the number of pods of every Deployment of provisioned environments."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(KubeError):
                await self._look()
            await asyncio.sleep(0.1)

    async def _look(self) -> None:
        client, namespace = self._cluster.client, self._cluster.namespace
        found = (await client.list(DEPLOYMENTS, namespace, label_selector=labels.PROVISIONED))["items"]
        pods = [pod for pod in await self._cluster.pods() if labels.PROVISIONED in pod["metadata"]["labels"]]
        for deployment in found:
            selector = deployment["spec"]["selector"]["matchLabels"].items()
            mine = [pod for pod in pods if selector <= pod["metadata"]["labels"].items()]
            pods = [pod for pod in pods if pod not in mine]
            for _ in range(deployment["spec"]["replicas"] - len(mine)):
                template = deployment["spec"]["template"]
                metadata = {"generateName": f"{deployment['metadata']['name']}-", **template["metadata"]}
                pod = {"metadata": metadata, "spec": template["spec"] | {"nodeName": "node-1"}}
                await client.create(PODS, pod, namespace)
        for pod in pods:
            with contextlib.suppress(NotFound):
                await client.delete(PODS, pod["metadata"]["name"], namespace)


@pytest.fixture(scope="module")
def operated(store_running: Installation) -> Installation:
    """An installation whose operator runs too."""
    store_running.operator()
    return store_running


@pytest.fixture
async def whole(operated: Installation, cluster: Cluster) -> AsyncIterator[Cluster]:
    """A namespace in which Deployments have pods."""
    task = asyncio.create_task(ReplicaSets(cluster).run())
    yield cluster
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def apply(cluster: Cluster, resource: Resource, name: str, spec: Object) -> None:
    """As a user does."""
    metadata = {"name": name, "namespace": cluster.namespace}
    manifest = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": spec}
    await cluster.client.apply(resource, manifest, manager="user")


async def publish(cluster: Cluster, number: int, source: str) -> None:
    """Another version of the function."""
    spec = {"runtime": RUNTIME_NAME, "handler": "index.handler", "code": {"inline": source}, "publish": True}
    await apply(cluster, FUNCTIONS, "f", spec)

    async def there() -> bool:
        found = (await cluster.client.list(FUNCTION_VERSIONS, cluster.namespace))["items"]
        return any(version.get("status", {}).get("version") == str(number) for version in found)

    await eventually(there, 60)


async def point(cluster: Cluster, version: int) -> None:
    """The alias with one provisioned environment."""
    units = {"provisionedConcurrentExecutions": 1}
    spec = {"functionName": "f", "name": "live", "functionVersion": str(version), "provisionedConcurrency": units}
    await apply(cluster, ALIASES, "f-live", spec)


async def told(cluster: Cluster, version: int, state: str) -> Object:
    """The status of the alias once it speaks of a version and its environments in that state."""

    async def status() -> Object | None:
        found: Object = (await cluster.client.get(ALIASES, "f-live", cluster.namespace)).get("status", {})
        units = found.get("provisionedConcurrency") or {}
        matches = (found.get("functionVersion"), units.get("status")) == (str(version), state)
        return found if matches else None

    found: Object = await eventually(status, 90)
    return found


async def test_an_alias_moves_once_its_new_environments_are_there(whole: Cluster) -> None:
    """No caller ever gets an error or an environment on demand; a version that cannot start never gets callers."""
    await publish(whole, 1, f"CODE = 1\n{SHOW}")
    await point(whole, 1)
    await whole.frontend()
    await told(whole, 1, "READY")
    seen: Counter[tuple[int, str, int]] = Counter()
    stopped = False

    async def call() -> None:
        while not stopped:
            answer = await whole.invoke("f:live")
            found = answer.json
            seen[answer.status, found.get("AWS_LAMBDA_INITIALIZATION_TYPE"), found.get("code")] += 1
            await asyncio.sleep(0.02)

    caller = asyncio.create_task(call())
    await publish(whole, 2, f"CODE = 2\n{SHOW}")
    await point(whole, 2)
    status = await told(whole, 2, "READY")
    assert status["routedVersion"] == "2"
    await eventually(lambda: any(code == 2 for _, _, code in seen))
    await publish(whole, 3, "raise RuntimeError('no luck')")
    await point(whole, 3)
    status = await told(whole, 3, "FAILED")
    assert status["provisionedConcurrency"]["statusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
    assert status["routedVersion"] == "2"
    stopped = True
    await caller
    assert {(answered, kind) for answered, kind, _ in seen} == {(200, "provisioned-concurrency")}, seen
    assert {code for _, _, code in seen} == {1, 2}
