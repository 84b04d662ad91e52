"""Closed pool pods that are opened ahead: for one network only, and for functions of it at once (real agents)."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.eventually import eventually
from tests.integration.loopback import Cluster

from kubelambda.api import labels
from kubelambda.core.environment.shape import Shape
from kubelambda.frontend.frontend import Frontend
from kubelambda.kube import claim
from kubelambda.kube.claim import ClaimLost
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import PODS

CLOSED = Shape(closed=True)
CODE = "def handler(event, context): return event"


def network(group: str) -> dict[str, Any]:
    """Of a function in one group."""
    return {"set": group.ljust(12, "0"), "subnets": ["a"], "securityGroups": [group]}


def labels_of(group: str) -> dict[str, str]:
    """Those that open a pod for one group."""
    return {labels.NETWORK_SET: group.ljust(12, "0"), f"{labels.SECURITY_GROUP}/{group}": ""}


def groups_of(pod: Object) -> set[str]:
    """Groups that a pod is a member of."""
    found = pod["metadata"]["labels"]
    return {name.rpartition("/")[2] for name in found if name.startswith(f"{labels.SECURITY_GROUP}/")}


async def pod_of(cluster: Cluster, function: str) -> Object:
    """The environment of a function, once Kubernetes knows of it."""

    async def found() -> list[Object]:
        return [pod for pod in await cluster.pods() if pod["metadata"]["labels"].get(labels.FUNCTION) == function]

    (pod,) = await eventually(found)
    environment: Object = pod
    return environment


async def opened(cluster: Cluster, frontend: Frontend, group: str) -> str:
    """Name of a pool pod that is open for a group, as far as a frontend knows."""
    wanted = network(group)["set"]

    def found() -> list[str]:
        pods = frontend.caches.pods.items.items()
        return [name for (_, name), pod in pods if pod.pool and pod.network_set == wanted]

    names: list[str] = await eventually(found)
    return names[0]


async def test_a_pod_that_is_opened_ahead_waits_for_no_claim(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its function answers while Kubernetes has not acknowledged that claim; who came first had to wait for its own."""
    for name in ("first", "second"):
        await cluster.function(name, CODE, network=network("app"))
    await cluster.pool(2, CLOSED)
    frontend = await cluster.frontend()
    assert (await cluster.invoke("first", 1)).json == 1
    ahead = await opened(cluster, frontend, "app")
    (pod,) = [each for each in await cluster.pods() if each["metadata"]["name"] == ahead]
    assert groups_of(pod) == {"app"}
    assert labels.FUNCTION not in pod["metadata"]["labels"]
    acknowledged = asyncio.Event()
    real = claim.claim

    async def late(*arguments: Any, **named: Any) -> None:
        await acknowledged.wait()
        await real(*arguments, **named)

    monkeypatch.setattr(claim, "claim", late)
    assert (await cluster.invoke("second", 2)).json == 2
    acknowledged.set()
    assert (await pod_of(cluster, "second"))["metadata"]["name"] == ahead


async def test_what_is_open_for_one_network_is_no_other_functions(cluster: Cluster) -> None:
    """It gets a pod that is closed, of which one is kept, and is a member of its own groups only."""
    await cluster.function("first", CODE, network=network("front"))
    await cluster.function("other", CODE, network=network("back"))
    await cluster.pool(3, CLOSED)
    frontend = await cluster.frontend()
    assert (await cluster.invoke("first", 1)).json == 1
    ahead = await opened(cluster, frontend, "front")
    assert (await cluster.invoke("other", 2)).json == 2
    pod = await pod_of(cluster, "other")
    assert pod["metadata"]["name"] != ahead
    assert groups_of(pod) == {"back"}
    (kept,) = [each for each in await cluster.pods() if each["metadata"]["name"] == ahead]
    assert groups_of(kept) == {"front"}


async def test_a_claim_is_lost_to_whoever_opens_a_pod_for_another_network(cluster: Cluster) -> None:
    """The pod would be in both; one for the same network goes through."""
    (name,) = await cluster.pool(1, CLOSED)
    (seen,) = await cluster.pods()
    await cluster.client.patch(PODS, name, {"metadata": {"labels": labels_of("front")}}, cluster.namespace)
    owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": seen["metadata"]["uid"]}

    async def claimed(group: str) -> None:
        await claim.claim(
            cluster.client,
            cluster.namespace,
            name,
            resource_version=seen["metadata"]["resourceVersion"],
            function_labels={labels.FUNCTION: "f", **labels_of(group)},
            owner=owner,
            now=datetime.now(UTC),
        )

    with pytest.raises(ClaimLost):
        await claimed("back")
    (pod,) = await cluster.pods()
    assert groups_of(pod) == {"front"}
    assert labels.POOL in pod["metadata"]["labels"]
    await claimed("front")
    (pod,) = await cluster.pods()
    assert labels.POOL not in pod["metadata"]["labels"]


async def test_what_is_open_for_nobody_goes_where_others_lack_it(cluster: Cluster) -> None:
    """A pool whose pods are open for a network of the past gets closed ones in their place."""
    await cluster.function("first", CODE, network=network("app"))
    (stale,) = await cluster.pool(1, CLOSED)
    await cluster.client.patch(PODS, stale, {"metadata": {"labels": labels_of("past")}}, cluster.namespace)
    await cluster.frontend()
    assert (await cluster.invoke("first", 1)).json == 1

    async def gone() -> bool:
        return stale not in [pod["metadata"]["name"] for pod in await cluster.pods()]

    await eventually(gone)
    assert groups_of(await pod_of(cluster, "first")) == {"app"}


async def test_the_claim_of_a_pod_that_was_opened_ahead_is_completed(cluster: Cluster) -> None:
    """Whoever specialized it ended before Kubernetes knew: it opens nothing, as the pod is open for that function."""
    await cluster.function("first", CODE, network=network("app"))
    (name,) = await cluster.pool(1, CLOSED)
    await cluster.client.patch(PODS, name, {"metadata": {"labels": labels_of("app")}}, cluster.namespace)
    frontend = await cluster.frontend()
    await opened(cluster, frontend, "app")
    await cluster.specialize(frontend, "first", name)
    assert (await cluster.invoke("first", 1)).json == 1

    async def claimed() -> bool:
        found = {pod["metadata"]["name"]: pod["metadata"]["labels"] for pod in await cluster.pods()}
        return found[name].get(labels.FUNCTION) == "first" and labels.POOL not in found[name]

    await eventually(claimed)
