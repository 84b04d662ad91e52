"""Pods over zones and nodes, placed by Kubernetes' own scheduler; a zone that is lost (§10.1)."""

import asyncio
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.eventually import eventually
from tests.integration.control_plane import BINARIES, SYSTEM_NAMESPACE, ControlPlane
from tests.integration.frontend.gated import GATHERING, answered, in_flight
from tests.integration.loopback import RUNTIME, RUNTIME_NAME, Cluster
from tests.integration.preparation import ROOT
from tests.integration.scheduler import nodes_in_zones, scheduler

from kubelambda.api.settings import EnvironmentSettings
from kubelambda.core.environment.pool_identity import PoolIdentity
from kubelambda.core.environment.shape import Shape
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import NODES, PODS
from kubelambda.resources.pool_deployment import pool_deployment
from kubelambda.resources.topology import NODE

ZONES = {"a1": "zone-a", "a2": "zone-a", "b1": "zone-b", "b2": "zone-b", "c1": "zone-c"}
IN_TWO_ZONES = {"set": "0" * 12, "subnets": ["a", "b"], "zones": ["zone-a", "zone-b"], "securityGroups": ["app"]}


@pytest.fixture
async def zones(
    control_plane: ControlPlane, client: KubeClient, cluster: Cluster, tmp_path: Path
) -> AsyncIterator[Cluster]:
    """A cluster of five nodes in three zones, whose pods begin once the scheduler has found them a node."""
    cluster.agents.schedules = lambda pod: pod["spec"].get("nodeName") in ZONES
    async with nodes_in_zones(client, ZONES):
        with scheduler(control_plane, tmp_path):
            yield cluster


def zones_of(pods: Sequence[Object]) -> Counter[str]:
    """How many pods each zone has."""
    return Counter(ZONES[pod["spec"]["nodeName"]] for pod in pods)


async def placed(client: KubeClient, templates: Sequence[Object], namespace: str) -> list[Object]:
    """What became of pods of templates, each once it has its node. They are gone by then."""
    names = []
    for template in templates:
        metadata = {"generateName": "placed-", **template["metadata"]}
        created = await client.create(PODS, {"metadata": metadata, "spec": template["spec"]}, namespace)
        names.append(created["metadata"]["name"])

    async def all_have_nodes() -> list[Object] | None:
        found = [await client.get(PODS, name, namespace) for name in names]
        return found if all(pod["spec"].get("nodeName") for pod in found) else None

    found: list[Object] = await eventually(all_have_nodes)
    for name in names:
        await client.delete(PODS, name, namespace, grace_seconds=0)
    return found


async def test_losing_a_zone_loses_what_was_in_flight_there_and_nothing_else(
    zones: Cluster, client: KubeClient, tmp_path: Path
) -> None:
    """Environments of two subnets are spread over both zones; afterwards all of them are where there are nodes."""
    await zones.function("zonal", GATHERING, network=IN_TWO_ZONES, timeout=300)
    await zones.frontend()
    calls = await in_flight(zones, "zonal", 4, tmp_path / "calls")
    pods = await zones.pods()
    assert zones_of(pods) == {"zone-a": 2, "zone-b": 2}
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 4

    for name in ("b1", "b2"):
        await client.delete(NODES, name)
    for pod in pods:
        if ZONES[pod["spec"]["nodeName"]] == "zone-b":
            zones.agents.processes[pod["metadata"]["name"]].kill()
            await client.delete(PODS, pod["metadata"]["name"], zones.namespace, grace_seconds=0)
    later = await asyncio.gather(*zones.calls("zonal", 4))
    assert [answer.status for answer in later] == [200] * 4
    answers = await answered(calls, tmp_path / "calls")
    lost = [answer for answer in answers if answer.status != 200 or "X-Amz-Function-Error" in answer.headers]
    assert len(lost) == 2

    async def all_there() -> bool:
        """A pod that nobody waited for any more may still look for its node."""
        pods = await zones.pods()
        return all("nodeName" in pod["spec"] for pod in pods) and set(zones_of(pods)) == {"zone-a"}

    await eventually(all_there)


async def test_environments_without_subnets_are_spread_over_all_zones(zones: Cluster, tmp_path: Path) -> None:
    """By default: nobody has to ask for it."""
    await zones.function("everywhere", GATHERING, timeout=300)
    await zones.frontend()
    calls = await in_flight(zones, "everywhere", 3, tmp_path / "calls")
    assert zones_of(await zones.pods()) == {"zone-a": 1, "zone-b": 1, "zone-c": 1}
    assert [answer.status for answer in await answered(calls, tmp_path / "calls")] == [200] * 3


async def test_pools_are_spread_over_the_zones_of_their_shape(zones: Cluster, client: KubeClient) -> None:
    """And over the nodes there."""
    pool = PoolIdentity(RUNTIME_NAME, Shape(closed=True, zones=("zone-a", "zone-b")))
    rendered = pool_deployment(
        zones.namespace, pool, "uid", RUNTIME, EnvironmentSettings(), size=4, token_sha256="0" * 64
    )
    zones.agents.schedules = lambda _: False
    pods = await placed(client, [rendered["spec"]["template"]] * 4, zones.namespace)
    assert Counter(pod["spec"]["nodeName"] for pod in pods) == {"a1": 1, "a2": 1, "b1": 1, "b2": 1}


def rendered_template(component: str) -> Object:
    """The pods of a component, as the chart renders them by default: two replicas."""
    command = [str(BINARIES / "helm"), "template", "kubelambda", str(ROOT / "charts" / "kubelambda")]
    command += ["--namespace", SYSTEM_NAMESPACE, "--kube-version", "1.36.0", "--show-only"]
    command.append(f"templates/{component}.yaml")
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: list[Any] = [each for each in yaml.safe_load_all(rendered) if each and each["kind"] == "Deployment"]
    (deployment,) = found
    assert deployment["spec"]["replicas"] == 2
    template: Object = deployment["spec"]["template"]
    template["spec"].pop("priorityClassName", None)
    return template


async def test_a_rollout_leaves_our_own_components_spread(zones: Cluster, client: KubeClient) -> None:
    """The old replicas, which it removes, do not draw both of the new ones to where they are not."""
    zones.agents.schedules = lambda _: False
    old, new = (of_template(rendered_template("frontend"), digest) for digest in ("old", "new"))
    for name in ("a2", "b2", "c1"):
        await client.patch(NODES, name, {"spec": {"unschedulable": True}})
    old["spec"]["nodeSelector"] = {NODE: "a1"}
    assert len(zones_of((await placed(client, [old, old, new, new], zones.namespace))[2:])) == 2


def of_template(template: Object, digest: str) -> Object:
    """As a Deployment makes pods: with the label that tells those of its template from older ones."""
    template["metadata"]["labels"]["pod-template-hash"] = digest
    return template


@pytest.mark.parametrize("component", ["frontend", "operator", "awsapi", "pollers"])
async def test_our_own_components_are_spread_over_zones(zones: Cluster, client: KubeClient, component: str) -> None:
    """As the chart renders them by default: the two replicas of each are in two zones."""
    zones.agents.schedules = lambda _: False
    pods = await placed(client, [rendered_template(component)] * 2, zones.namespace)
    assert len(zones_of(pods)) == 2
