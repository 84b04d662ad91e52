"""Functions whose pods differ take from pools of their shape: real API server, code store and agents."""

import socket

from tests.eventually import eventually
from tests.integration.loopback import CLOSED, Cluster

from kubelambda.api import labels
from kubelambda.api.environment_protocol import ClosureCheck
from kubelambda.core.environment.shape import Shape

ECHO = "def handler(event, context): return event"
NETWORK = {"set": "0" * 12, "subnets": ["a"], "securityGroups": ["app"]}


async def test_a_function_with_a_large_tmp_takes_from_the_pool_of_its_shape(cluster: Cluster) -> None:
    """And leaves the generic pool alone, as functions without leave its own."""
    await cluster.function("large", ECHO, ephemeralStorage=2048)
    await cluster.function("small", ECHO)
    (shaped,) = await cluster.pool(1, Shape(ephemeral_storage_mb=2048))
    (generic,) = await cluster.pool(1)
    await cluster.frontend()
    assert (await cluster.invoke("large", 1)).json == 1

    async def claimed(*pods: str) -> bool:
        return sorted(await cluster.claimed_pods()) == sorted(pods)

    await eventually(lambda: claimed(shaped))
    assert (await cluster.invoke("small", 2)).json == 2
    await eventually(lambda: claimed(shaped, generic))


async def test_a_closed_pod_is_opened_by_its_claim(cluster: Cluster) -> None:
    """For what its function's groups allow: their labels are there when the function runs, and not before."""
    await cluster.function("inside", ECHO, network=NETWORK)
    (pod,) = await cluster.pool(1, Shape(closed=True))
    await cluster.frontend()

    async def found() -> dict[str, str]:
        (only,) = [each for each in await cluster.pods() if each["metadata"]["name"] == pod]
        return dict(only["metadata"]["labels"])

    assert labels.NETWORK_SET not in await found()
    assert (await cluster.invoke("inside", 1)).json == 1
    after = await found()
    assert (after[labels.NETWORK], after[labels.NETWORK_SET]) == ("closed", "0" * 12)
    assert after[f"{labels.SECURITY_GROUP}/app"] == ""
    assert labels.POOL not in after


async def test_a_pod_that_does_not_find_itself_closed_gets_no_function(cluster: Cluster) -> None:
    """However long its policy takes: it is claimed once that holds."""
    await cluster.function("inside", ECHO, network=NETWORK)
    with socket.create_server(("127.0.0.1", 0)) as reached, socket.create_server(("127.0.0.1", 0)) as late:
        refused, allowed = (f"127.0.0.1:{each.getsockname()[1]}" for each in (late, reached))
        check = ClosureCheck(refused, allowed, 0.2)
        (pod,) = await cluster.pool(1, Shape(closed=True), closure=check)
        cluster.agents.schedules = lambda found: labels.POOL in found["metadata"]["labels"]
        await cluster.frontend()
        call = cluster.calls("inside", 1, 1)[0]

        async def waits() -> bool:
            return len(await cluster.claimed_pods()) == 1  # a pod of its own, which finds no place here

        await eventually(waits)
        assert await cluster.pool_pods() == [pod]
        assert not call.done()
        late.close()
        assert (await call).json == 1
        assert await cluster.pool_pods() == []


async def test_a_pod_of_its_own_is_closed_before_it_is_opened(cluster: Cluster) -> None:
    """Where the pool of the shape is empty."""
    await cluster.function("inside", ECHO, network=NETWORK)
    await cluster.frontend()
    assert CLOSED.seconds == 0
    assert (await cluster.invoke("inside", 1)).json == 1
    (pod,) = await cluster.pods()
    assert pod["metadata"]["labels"][labels.NETWORK_SET] == "0" * 12
