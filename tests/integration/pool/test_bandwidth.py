"""The network's share of a function's memory (§10.1): from its Function to the pods that it may run in."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.eventually import eventually
from tests.integration.control_plane import SYSTEM_NAMESPACE, ControlPlane
from tests.integration.functions import Functions
from tests.integration.loopback import Agents, Cluster
from tests.integration.processes import KEY, Installation

from kubelambda.api import labels
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import ALIASES, DEPLOYMENTS
from kubelambda.store.code.code_store import CodeStore

ANNOTATIONS = ("kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth")


@pytest.fixture(scope="module")
def limiting(tmp_path_factory: pytest.TempPathFactory, control_plane: ControlPlane) -> Iterator[Installation]:
    """An installation that limits the network of environments."""
    settings = {"environments": {"bandwidthMbitPerGb": 600}}
    found = Installation(tmp_path_factory.mktemp("limiting"), control_plane, SYSTEM_NAMESPACE, **settings)
    found.code_store()
    found.operator()
    yield found
    found.stop()


@pytest.fixture
async def cluster(client: KubeClient, namespace: str, limiting: Installation, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Agents behind the pods of the namespace."""
    async with (
        CodeStore(limiting.store_url, KEY) as store,
        Cluster(client, namespace, Agents(client, namespace, tmp_path), store, SYSTEM_NAMESPACE) as found,
    ):
        yield found


def shares(metadata: Object) -> list[str | None]:
    """What annotations say, in both directions."""
    return [metadata.get("annotations", {}).get(each) for each in ANNOTATIONS]


async def test_pods_of_pools_versions_and_functions_have_their_share(
    limiting: Installation, functions: Functions, client: KubeClient, cluster: Cluster
) -> None:
    """Those of its pool and its provisioned environments by their templates, and a pod of its own."""
    where = functions.namespace
    functions.apply("small", publish=True)
    # An environment whose INIT fails goes at once.
    functions.apply("large", memorySize=1024, code={"inline": "def handler(event, context):\n    return event\n"})
    for name in ("small", "large"):
        await functions.ready(name)

    async def of_pools() -> dict[str, list[str | None]]:
        found = (await client.list(DEPLOYMENTS, where, label_selector=labels.POOL))["items"]
        templates = [each["spec"]["template"]["metadata"] for each in found]
        return {each["labels"][labels.POOL]: shares(each) for each in templates}

    async def both() -> bool:
        return sorted((await of_pools()).values(), key=str) == [["600M", "600M"], ["75M", "75M"]]

    await eventually(both)

    async def published() -> bool:
        return bool((await functions.status("small")).get("lastPublished"))

    await eventually(published)
    alias = {
        "apiVersion": "kubelambda.dev/v1alpha1",
        "kind": "Alias",
        "metadata": {"name": "small-live", "namespace": where},
        "spec": {
            "functionName": "small",
            "name": "live",
            "functionVersion": "1",
            "provisionedConcurrency": {"provisionedConcurrentExecutions": 1},
        },
    }
    await client.create(ALIASES, alias, where)

    async def provisioned() -> bool:
        found = (await client.list(DEPLOYMENTS, where, label_selector=labels.PROVISIONED))["items"]
        return [shares(each["spec"]["template"]["metadata"]) for each in found] == [["75M", "75M"]]

    await eventually(provisioned)
    await cluster.frontend()
    assert (await cluster.invoke("large", 1)).json == 1

    async def claimed() -> list[Object]:
        return [each for each in await cluster.pods() if each["metadata"]["labels"].get(labels.FUNCTION) == "large"]

    (pod,) = await eventually(claimed)  # Kubernetes hears of it while the call runs, or after
    assert shares(pod["metadata"]) == ["600M", "600M"]
