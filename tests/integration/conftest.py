"""One control plane for the session, one installation for each module, a namespace for each test."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
from tests.integration.control_plane import ADMIN_TOKEN, SYSTEM_NAMESPACE, ControlPlane
from tests.integration.functions import Functions
from tests.integration.preparation import start
from tests.integration.processes import Installation

from kubelambda.kube.errors import NotFound
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import (
    ALIASES,
    CODE_SIGNING_CONFIGS,
    EVENT_SOURCE_MAPPINGS,
    FUNCTION_VERSIONS,
    FUNCTIONS,
    INVOKE_ENDPOINTS,
    LAYER_VERSIONS,
    LAYERS,
    NAMESPACES,
    SIGNING_PROFILES,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for leases to run out comes first: whoever runs files side by side would wait for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_operator.py")


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A running API server with our definitions, a runtime, and what the chart lets our service accounts do."""
    found = ControlPlane(tmp_path_factory.mktemp("control-plane"))
    try:
        start(found)
        yield found
    finally:
        found.stop()


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """A client that may do everything."""
    found = await KubeClient.connect(str(control_plane.kubeconfig(ADMIN_TOKEN)))
    yield found
    await found.close()


@pytest.fixture
async def namespace(client: KubeClient) -> AsyncIterator[str]:
    """A namespace that no other test knows."""
    name = await _made(client)
    yield name
    await _emptied(client, name)


@pytest.fixture
async def other_namespace(client: KubeClient) -> AsyncIterator[str]:
    """Another account than the test's own."""
    name = await _made(client)
    yield name
    await _emptied(client, name)


async def _made(client: KubeClient) -> str:
    name = f"test-{os.urandom(4).hex()}"
    await client.create(NAMESPACES, {"metadata": {"name": name}})
    return name


async def _emptied(client: KubeClient, name: str) -> None:
    # There is no namespace controller here: what is in it must go one by one.
    # What stays is work for the operators of all later tests.
    kinds = (
        FUNCTIONS,
        ALIASES,
        FUNCTION_VERSIONS,
        EVENT_SOURCE_MAPPINGS,
        LAYERS,
        LAYER_VERSIONS,
        INVOKE_ENDPOINTS,
        CODE_SIGNING_CONFIGS,
        SIGNING_PROFILES,
    )
    for resource in kinds:
        async for body in client.each(resource, name):
            with suppress(NotFound):
                await client.delete(resource, body["metadata"]["name"], name)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, control_plane: ControlPlane) -> Iterator[Installation]:
    """An installation of its own for each module; nothing of it runs yet."""
    found = Installation(tmp_path_factory.mktemp("installation"), control_plane, SYSTEM_NAMESPACE)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def running(installation: Installation) -> Installation:
    """An installation whose code store and operator run."""
    installation.code_store()
    installation.operator()
    return installation


@pytest.fixture
def functions(control_plane: ControlPlane, client: KubeClient, namespace: str) -> Functions:
    """Functions of the test's namespace."""
    return Functions(control_plane, client, namespace)
