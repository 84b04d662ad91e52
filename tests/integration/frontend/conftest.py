"""A cluster on loopback for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.integration.control_plane import ADMIN_TOKEN, SYSTEM_NAMESPACE, ControlPlane
from tests.integration.loopback import Agents, Cluster, Relay
from tests.integration.processes import KEY, Installation

from kubelambda.kube.kube_client import KubeClient
from kubelambda.store.code.code_store import CodeStore


@pytest.fixture(scope="session")
def store_running(tmp_path_factory: pytest.TempPathFactory, control_plane: ControlPlane) -> Iterator[Installation]:
    """An installation of which only the code store runs."""
    found = Installation(tmp_path_factory.mktemp("store"), control_plane, SYSTEM_NAMESPACE)
    found.code_store()
    yield found
    found.stop()


@pytest.fixture
async def cluster(
    client: KubeClient, namespace: str, store_running: Installation, tmp_path: Path
) -> AsyncIterator[Cluster]:
    """A namespace with real agents behind its pods."""
    agents = Agents(client, namespace, tmp_path)
    async with (
        CodeStore(store_running.store_url, KEY) as store,
        Cluster(client, namespace, agents, store, SYSTEM_NAMESPACE) as found,
    ):
        yield found


@pytest.fixture
async def relay(control_plane: ControlPlane) -> AsyncIterator[Relay]:
    """A way to the API server that can be cut."""
    found = Relay(control_plane.port)
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def relayed(control_plane: ControlPlane, relay: Relay, tmp_path: Path) -> AsyncIterator[KubeClient]:
    """A client that goes that way."""
    kubeconfig = control_plane.kubeconfig(ADMIN_TOKEN).read_text()
    path = tmp_path / "relayed.kubeconfig"
    path.write_text(kubeconfig.replace(f":{control_plane.port}", f":{relay.port}"))
    found = await KubeClient.connect(str(path))
    yield found
    await found.close()
