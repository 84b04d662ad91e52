"""One control plane for the session, an installation that modules share, a namespace for each test."""

import asyncio
import os
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import suppress

import pytest
from tests.integration.control_plane import ADMIN_TOKEN, ControlPlane
from tests.integration.diagnostics import told
from tests.integration.functions import Functions
from tests.integration.preparation import start
from tests.integration.processes import Installation
from tests.integration.stage import Stage, asks_for_what_runs
from tests.leftovers import show_leftovers

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
    SECRETS,
    SIGNING_PROFILES,
    Resource,
)

_WAITING = ("test_operator.py", "test_utilization_readers.py")
"""Files that wait for leases to run out, and for the windows of a Prometheus."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits long comes first: whoever runs files side by side would wait for it at the end."""
    items.sort(key=lambda item: item.path.name not in _WAITING)
    show_leftovers(items, "integration")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Says of a failure what became of the test's objects, which are gone once it is torn down."""
    report = yield
    given = getattr(item, "funcargs", {})
    if report.when == "call" and report.failed and "control_plane" in given:
        namespaces = {given[name] for name in ("namespace", "other_namespace") if name in given}
        stage = given.get("stage")
        found = told(given["control_plane"], stage.found if stage is not None else None, namespaces)
        report.sections.append(("objects and logs", found))
    return report


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
    # There is no namespace controller here: what is in it must go kind by kind.
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
        SECRETS,  # an access key of a test before stands for its account, whoever else chose the same
    )
    for resource in kinds:
        names = [body["metadata"]["name"] async for body in client.each(resource, name)]
        await asyncio.gather(*[_deleted(client, resource, each, name) for each in names])


async def _deleted(client: KubeClient, resource: Resource, name: str, namespace: str) -> None:
    with suppress(NotFound):
        await client.delete(resource, name, namespace)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, control_plane: ControlPlane) -> Iterator[Stage]:
    """What modules share of what runs."""
    found = Stage(control_plane, tmp_path_factory)
    yield found
    found.clear()


@pytest.fixture(scope="module", autouse=True)
def _left_running(request: pytest.FixtureRequest, stage: Stage) -> None:
    """A module that begins without an installation finds nothing that acts on what it makes."""
    first = next(item for item in request.session.items if item.path == request.path)
    if not asks_for_what_runs(first):
        stage.clear()


@pytest.fixture(scope="module")
def running(stage: Stage) -> Installation:
    """An installation whose code store and operator run."""
    return stage.operated()


@pytest.fixture
def functions(control_plane: ControlPlane, client: KubeClient, namespace: str) -> Functions:
    """Functions of the test's namespace."""
    return Functions(control_plane, client, namespace)
