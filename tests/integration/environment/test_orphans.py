"""Environments that a frontend finds and nobody knows: the real operator, frontend and API server, pods as objects."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.integration.control_plane import SYSTEM_NAMESPACE
from tests.integration.functions import Functions, eventually, listed
from tests.integration.processes import KEY, Installation

from kubelambda.api import labels
from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.api.settings import Settings
from kubelambda.core.environment import strays as core
from kubelambda.frontend.account import stray_collection
from kubelambda.frontend.frontend import Frontend
from kubelambda.kube.errors import Conflict
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import ENDPOINT_SLICES, PODS
from kubelambda.resources import environment_pod as rendering
from kubelambda.store.code.code_store import CodeStore

ADDRESS = "10.0.0.1"
"""Of the frontend, as its EndpointSlice has it: it owns nothing before it is ready for Kubernetes."""
SLICE = {
    "apiVersion": ENDPOINT_SLICES.api_version,
    "kind": ENDPOINT_SLICES.kind,
    "metadata": {"name": "strays", "labels": {"kubernetes.io/service-name": "strays"}},
    "addressType": "IPv4",
    "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": True}}],
    "ports": [],
}


@pytest.fixture
async def frontend(client: KubeClient, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Frontend]:
    """A frontend that looks twice a second and is patient for one."""
    monkeypatch.setattr(stray_collection, "INTERVAL_S", 0.5)
    monkeypatch.setattr(core, "PATIENCE_S", 1.0)
    settings = Settings(system_namespace=SYSTEM_NAMESPACE)
    with contextlib.suppress(Conflict):
        await client.create(ENDPOINT_SLICES, SLICE, SYSTEM_NAMESPACE)
    async with CodeStore("http://127.0.0.1:9", KEY) as store:
        found = Frontend(client, store, settings, KEY, address=ADDRESS, service="strays", port=1)
        tasks = [asyncio.create_task(reflector.run()) for reflector in found.caches.reflectors()]
        tasks += [asyncio.create_task(work) for work in found.background()]
        await eventually(lambda: found.ready)
        yield found
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def claimed_pod(functions: Functions, name: str, function: str) -> None:
    """A pod as a frontend leaves it that ends right after its claim."""
    found = await functions.get(function)
    deployed = DeployedConfiguration.model_validate(found["status"]["deployed"])
    metadata = {
        "name": name,
        "labels": {
            labels.MANAGED_BY: labels.MANAGER,
            labels.COMPONENT: labels.COMPONENT_ENVIRONMENT,
            **rendering.function_labels(function, found["metadata"]["uid"], deployed),
        },
    }
    spec = {"containers": [{"name": labels.CONTAINER, "image": "localhost/python:1"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    await functions.client.create(PODS, pod, functions.namespace)


async def pods(functions: Functions) -> set[str]:
    """Names of the pods of the namespace."""
    return {pod["metadata"]["name"] for pod in await listed(functions.client, PODS, functions.namespace)}


async def test_a_claimed_pod_that_nobody_started_is_deleted(
    running: Installation, functions: Functions, frontend: Frontend
) -> None:
    """Though its function exists and is never invoked; a pod of somebody else's stays."""
    functions.apply("left")
    await functions.ready("left")
    await claimed_pod(functions, "orphan", "left")
    spec = {"containers": [{"name": "other", "image": "localhost/other:1"}]}
    other = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other"}, "spec": spec}
    await functions.client.create(PODS, other, functions.namespace)

    async def deleted() -> bool:
        return "orphan" not in await pods(functions)

    await eventually(deleted)
    assert await pods(functions) == {"other"}
