"""Pools of shapes: one for all functions that need the same of their pods, from their first to their last."""

from tests.integration.functions import Functions, eventually, listed
from tests.integration.network.test_networks import VPC, network
from tests.integration.processes import Installation

from kubelambda.api import labels
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import DEPLOYMENTS, FUNCTIONS


async def pools(functions: Functions) -> dict[str, Object]:
    """The Deployments of pools, by the ids of these."""
    found = await listed(functions.client, DEPLOYMENTS, functions.namespace, label_selector=labels.POOL)
    return {each["metadata"]["labels"][labels.POOL]: each for each in found}


async def test_functions_of_one_shape_share_its_pool(running: Installation, functions: Functions) -> None:
    """It begins empty, has what their pods need, is made once and goes with the last of them."""
    assert functions.control_plane.apply(network(functions.namespace)).returncode == 0
    large = {"ephemeralStorage": {"size": 2048}}
    functions.apply("one", **large)
    functions.apply("two", **large)
    functions.apply("inside", vpcConfig=VPC)
    for name in ("one", "two", "inside"):
        await functions.ready(name)

    async def shaped(count: int) -> list[Object]:
        found = [pool for name, pool in (await pools(functions)).items() if "_" in name]
        return found if len(found) == count else []

    found = await eventually(lambda: shaped(2))
    assert [pool["spec"]["replicas"] for pool in found] == [0, 0]
    templates = [pool["spec"]["template"] for pool in found]
    sizes = sorted(each["spec"]["volumes"][0]["emptyDir"]["sizeLimit"] for each in templates)
    assert sizes == ["2112Mi", "576Mi"]
    assert sorted(each["metadata"]["labels"].get(labels.NETWORK, "") for each in templates) == ["", "closed"]

    await functions.client.delete(FUNCTIONS, "one", functions.namespace)
    await functions.client.delete(FUNCTIONS, "inside", functions.namespace)
    (left,) = await eventually(lambda: shaped(1))
    assert labels.NETWORK not in left["spec"]["template"]["metadata"]["labels"]
    await functions.client.delete(FUNCTIONS, "two", functions.namespace)

    async def gone() -> bool:
        return not await pools(functions)

    await eventually(gone)


async def test_a_version_keeps_the_pool_of_its_shape(running: Installation, functions: Functions) -> None:
    """Though its function has moved on."""
    functions.apply("moved", ephemeralStorage={"size": 1024}, publish=True)
    await functions.ready("moved")
    before = await eventually(lambda: pools(functions))

    async def published() -> bool:
        return bool((await functions.status("moved")).get("lastPublished"))

    await eventually(published)
    functions.apply("moved", publish=False)
    await functions.ready("moved")

    async def both() -> bool:
        found = await pools(functions)
        return set(before) <= set(found) and "python3.13" in found

    await eventually(both)
