"""Whether the cluster enforces NetworkPolicies, against a real API server: the test plays the kubelet of the probe."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from tests.integration.control_plane import SYSTEM_NAMESPACE, ControlPlane
from tests.integration.functions import Functions, condition, eventually
from tests.integration.processes import Component, Installation

from kubelambda.api import labels
from kubelambda.core.network.enforcement_probe import ProbeExit
from kubelambda.kube.errors import Conflict, NotFound
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import FUNCTION_VERSIONS, NETWORK_POLICIES, PODS
from kubelambda.resources.enforcement_probe_objects import PROBE_LISTENER, PROBE_POLICY, PROBE_PROBERS

VPC = {"subnetIds": ["a"], "securityGroupIds": ["app"]}
TIMES = {"limitSeconds": 15, "retrySeconds": 3}
"""A try that a slow machine spoils is repeated within each test's patience."""
RESTRICTED = "pod-security.kubernetes.io/enforce"


@dataclass
class Kubelet:
    """Runs the probe's pods, as far as anybody can see. With no exit code they stay Pending."""

    client: KubeClient
    exit_code: int | None = None
    stopped: bool = False

    async def run(self) -> None:
        """Works until it is stopped."""
        while not self.stopped:
            if self.exit_code is not None:
                await self._write(PROBE_LISTENER, {"phase": "Running", "podIP": "10.1.0.7"})
                for prober in PROBE_PROBERS:
                    await self._write(prober, self._ended(self.exit_code))
            await asyncio.sleep(0.1)

    async def _write(self, pod: str, status: Object) -> None:
        with suppress(NotFound, Conflict):
            await self.client.patch(PODS, pod, {"status": status}, SYSTEM_NAMESPACE, subresource="status")

    @staticmethod
    def _ended(code: int) -> Object:
        container = {"name": "prober", "image": "i", "imageID": "i", "ready": False, "restartCount": 0}
        terminated = {"exitCode": code, "reason": "Completed" if code == 0 else "Error"}
        phase = "Succeeded" if code == 0 else "Failed"
        return {"phase": phase, "containerStatuses": [container | {"state": {"terminated": terminated}}]}


@pytest.fixture(scope="module")
def operator(
    tmp_path_factory: pytest.TempPathFactory, control_plane: ControlPlane
) -> Iterator[tuple[Installation, Component]]:
    """An installation that probes, in a namespace that holds pods to the `restricted` standard."""
    label = ("label", "namespace", SYSTEM_NAMESPACE, "--overwrite")
    assert control_plane.kubectl(*label, f"{RESTRICTED}=restricted").returncode == 0
    probe = {"image": "localhost/platform:1", **TIMES}
    folder = tmp_path_factory.mktemp("probing")
    found = Installation(folder, control_plane, SYSTEM_NAMESPACE, network={"probe": probe})
    found.code_store()
    component, _ = found.operator()
    yield found, component
    found.stop()
    control_plane.kubectl(*label, f"{RESTRICTED}-")
    left = ("delete", "pods,networkpolicies", "--selector", labels.NETWORK_PROBE, "--namespace", SYSTEM_NAMESPACE)
    control_plane.kubectl(*left)


@pytest.fixture
async def kubelet(operator: tuple[Installation, Component], client: KubeClient) -> AsyncIterator[Kubelet]:
    """A kubelet that does nothing yet, for an operator that knows nothing and has begun to try."""

    async def begun() -> bool:
        policy = await client.find(NETWORK_POLICIES, PROBE_POLICY, SYSTEM_NAMESPACE)
        if policy is not None and policy["metadata"].get("annotations"):
            with suppress(NotFound):
                await client.delete(NETWORK_POLICIES, PROBE_POLICY, SYSTEM_NAMESPACE)
            return False
        return policy is not None

    await eventually(begun, 240)
    found = Kubelet(client)
    running = asyncio.create_task(found.run())
    yield found
    found.stopped = True
    await running


@pytest.fixture
def vpc(functions: Functions) -> Functions:
    """Functions in a namespace that has a subnet and a group."""
    parts = [("Subnet", "a"), ("SecurityGroup", "app")]
    made = [
        {
            "apiVersion": "kubelambda.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": functions.namespace},
            "spec": {},
        }
        for kind, name in parts
    ]
    assert functions.control_plane.apply(made).returncode == 0
    return functions


async def told(functions: Functions, name: str, reason: str) -> Object:
    """The status of a function once its condition has that reason."""
    return await functions.until(name, lambda found: condition(found, "NetworkEnforced").get("reason") == reason, 180)


async def version_told(functions: Functions, client: KubeClient, name: str, reason: str) -> None:
    """Returns once the condition of a version has that reason."""

    async def found() -> bool:
        body = await client.find(FUNCTION_VERSIONS, name, functions.namespace)
        return condition((body or {}).get("status") or {}, "NetworkEnforced").get("reason") == reason

    await eventually(found)


async def kept(client: KubeClient) -> Any:
    """What was found, as it is kept."""
    policy = await client.get(NETWORK_POLICIES, PROBE_POLICY, SYSTEM_NAMESPACE)
    return json.loads(policy["metadata"]["annotations"][labels.NETWORK_PROBE])


async def no_pods(client: KubeClient) -> bool:
    """Whether the probe's pods are gone."""
    names = (PROBE_LISTENER, *PROBE_PROBERS)
    return all([await client.find(PODS, name, SYSTEM_NAMESPACE) is None for name in names])


async def test_what_was_found_is_told_and_no_new_leader_tries_again(
    operator: tuple[Installation, Component], kubelet: Kubelet, vpc: Functions, client: KubeClient
) -> None:
    """On every function with a vpcConfig and no other; the pods are gone by then."""
    kubelet.exit_code = ProbeExit.ENFORCED
    vpc.apply("inside", vpcConfig=VPC, publish=True)
    vpc.apply("outside")
    status = await told(vpc, "inside", "Enforced")
    assert condition(status, "NetworkEnforced")["status"] == "True"
    await version_told(vpc, client, "inside-1", "Enforced")
    assert condition(await vpc.ready("outside"), "NetworkEnforced") == {}
    await eventually(lambda: no_pods(client))
    before = await kept(client)
    installation, first = operator
    assert first.stop() == 0
    installation.operator("operator-2")
    kubelet.exit_code = None
    vpc.apply("later", vpcConfig=VPC)
    assert condition(await vpc.ready("later"), "NetworkEnforced")["status"] == "True"
    assert await no_pods(client)
    assert await kept(client) == before


async def test_functions_are_refused_where_nothing_is_enforced_until_it_is(kubelet: Kubelet, vpc: Functions) -> None:
    """With a state reason that says what to do; those without a vpcConfig are not concerned."""
    kubelet.exit_code = ProbeExit.OPEN
    vpc.apply("inside", vpcConfig=VPC)
    vpc.apply("outside")
    status = await told(vpc, "inside", "NetworkNotEnforced")
    assert condition(status, "NetworkEnforced")["status"] == "False"
    told_by = status.get("lastUpdateStatus") if "deployed" in status else status["state"]
    assert told_by == ("Successful" if "deployed" in status else "Failed")
    assert "does not enforce NetworkPolicies" in condition(status, "Ready")["message"]
    vpc.apply("new", vpcConfig=VPC)
    refused = await vpc.until("new", lambda found: found.get("state") == "Failed")
    assert (refused["stateReasonCode"], "deployed" in refused) == ("NetworkNotEnforced", False)
    assert condition(await vpc.ready("outside"), "NetworkEnforced") == {}
    kubelet.exit_code = ProbeExit.ENFORCED
    for name in ("inside", "new"):
        status = await told(vpc, name, "Enforced")
        assert (status["state"], condition(status, "Ready")["status"]) == ("Active", "True")


async def test_a_try_that_nobody_answers_ends_and_holds_nothing_up(
    kubelet: Kubelet, vpc: Functions, client: KubeClient
) -> None:
    """Its pods are taken away, functions run, and the condition says what became of it."""
    vpc.apply("inside", vpcConfig=VPC)
    assert condition(await vpc.ready("inside"), "NetworkEnforced")["status"] == "Unknown"
    status = await told(vpc, "inside", "ProbeTimedOut")
    found = condition(status, "NetworkEnforced")
    assert (found["status"], condition(status, "Ready")["status"]) == ("Unknown", "True")
    assert found["message"].endswith(f"after {TIMES['limitSeconds']} s its listener pod is Pending")
    await eventually(lambda: no_pods(client))
    assert kubelet.exit_code is None
