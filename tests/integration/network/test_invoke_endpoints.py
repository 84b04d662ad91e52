"""InvokeEndpoints against a real API server: an address of their own, a port of the frontends, and a policy of that."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.integration.control_plane import SYSTEM_NAMESPACE, ControlPlane
from tests.integration.functions import Functions, condition, eventually, listed
from tests.integration.processes import Installation

from kubelambda.api import labels
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import (
    ENDPOINT_SLICES,
    FUNCTIONS,
    INVOKE_ENDPOINTS,
    NETWORK_POLICIES,
    SERVICES,
)

FRONTENDS = "frontends-of-this-module"
ANYBODY = [{"principals": ["*"], "functions": ["*"]}]


def endpoint(namespace: str, name: str = "lambda", **spec: Any) -> Object:
    """An InvokeEndpoint."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "kubelambda.dev/v1alpha1", "kind": "InvokeEndpoint", "metadata": metadata, "spec": spec}


def frontends(*addresses: str) -> Object:
    """What Kubernetes lists behind the frontends' Service."""
    endpoints = [{"addresses": [address], "conditions": {"ready": True}} for address in addresses]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": FRONTENDS, "namespace": SYSTEM_NAMESPACE, "labels": {labels.FRONTENDS: ""}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    }


@pytest.fixture
async def served(running: Installation, functions: Functions, client: KubeClient) -> AsyncIterator[str]:
    """A namespace with a function, and one frontend that is ready."""
    assert functions.control_plane.apply([frontends("10.1.0.1")]).returncode == 0
    functions.apply("hello")
    await functions.ready("hello")
    yield functions.namespace
    await client.delete(ENDPOINT_SLICES, FRONTENDS, SYSTEM_NAMESPACE)


async def ready(client: KubeClient, namespace: str, name: str = "lambda") -> Object:
    """The status once the endpoint is served as its spec now says."""

    async def current() -> Object | None:
        body = await client.get(INVOKE_ENDPOINTS, name, namespace)
        status: Object = body.get("status") or {}
        seen = status.get("observedGeneration") == body["metadata"]["generation"]
        return status if seen and condition(status, "Ready").get("status") == "True" else None

    found: Object = await eventually(current)
    return found


async def policies(client: KubeClient, namespace: str) -> list[Object]:
    """Policies of the namespace's endpoints."""
    found = await listed(client, NETWORK_POLICIES, SYSTEM_NAMESPACE, label_selector=labels.INVOKE_ENDPOINT)
    named = [each["metadata"]["annotations"][labels.INVOKE_ENDPOINT] for each in found]
    return [each for each, name in zip(found, named, strict=True) if name.startswith(f"{namespace}/")]


async def test_an_endpoint_has_an_address_and_a_policy_until_it_goes(
    served: str, client: KubeClient, control_plane: ControlPlane
) -> None:
    """They follow the frontends and the spec; a policy that is taken away comes back, and goes with the endpoint."""
    applied = control_plane.apply([endpoint(served, allowedNamespaces=["team-b"], policy=ANYBODY)])
    assert applied.returncode == 0, applied.stderr
    status = await ready(client, served)
    assert status["dnsName"] == f"lambda.{served}.svc"
    service = await client.get(SERVICES, "lambda", served)
    assert service["spec"]["clusterIP"] == status["address"]
    assert service["spec"]["ports"][0]["targetPort"] == status["frontendPort"]

    async def leads_to(*addresses: str) -> bool:
        found = await client.get(ENDPOINT_SLICES, "lambda-kubelambda-ipv4", served)
        return [each["addresses"] for each in found["endpoints"]] == [[address] for address in addresses]

    await eventually(lambda: leads_to("10.1.0.1"))
    assert control_plane.apply([frontends("10.1.0.1", "10.1.0.2")]).returncode == 0
    await eventually(lambda: leads_to("10.1.0.1", "10.1.0.2"))

    async def lets_in(*namespaces: str) -> bool:
        found = await policies(client, served)
        if len(found) != 1 or found[0]["spec"]["ingress"][0]["ports"][0]["port"] != status["frontendPort"]:
            return False
        peers = found[0]["spec"]["ingress"][0]["from"]
        names = [each["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for each in peers]
        return names == list(namespaces)

    await eventually(lambda: lets_in("team-b"))
    assert control_plane.apply([endpoint(served, allowedNamespaces=["team-c"], policy=ANYBODY)]).returncode == 0
    await eventually(lambda: lets_in("team-c"))
    (policy,) = await policies(client, served)
    await client.delete(NETWORK_POLICIES, policy["metadata"]["name"], SYSTEM_NAMESPACE)
    await eventually(lambda: lets_in("team-c"))
    assert (await ready(client, served))["frontendPort"] == status["frontendPort"]
    await client.delete(INVOKE_ENDPOINTS, "lambda", served)

    async def none() -> bool:
        return not await policies(client, served)

    await eventually(none)


async def test_every_endpoint_has_a_port_of_its_own(
    served: str, client: KubeClient, control_plane: ControlPlane
) -> None:
    """Also those that appear at one moment, and those whose status somebody wrote."""
    names = [f"e{number}" for number in range(6)]
    assert control_plane.apply([endpoint(served, name, policy=ANYBODY) for name in names]).returncode == 0
    ports = {(await ready(client, served, name))["frontendPort"] for name in names}
    assert len(ports) == len(names)
    stolen = {"status": {"frontendPort": (await ready(client, served, "e0"))["frontendPort"]}}
    await client.patch(INVOKE_ENDPOINTS, "e5", stolen, served, subresource="status")

    async def given_back() -> bool:
        found = [(await client.get(INVOKE_ENDPOINTS, name, served))["status"].get("frontendPort") for name in names]
        return None not in found and len(set(found)) == len(names)

    await eventually(given_back)


async def test_an_endpoint_says_what_it_waits_for(
    running: Installation, functions: Functions, client: KubeClient, control_plane: ControlPlane
) -> None:
    """A Function, a name that nobody has, a frontend: each in its condition, and each is noticed when it comes."""
    namespace = functions.namespace
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "lambda", "namespace": namespace}}
    theirs["spec"] = {"ports": [{"port": 80}]}
    assert control_plane.apply([endpoint(namespace), theirs]).returncode == 0

    async def waits_for(reason: str) -> bool:
        body = await client.get(INVOKE_ENDPOINTS, "lambda", namespace)
        return bool(condition(body.get("status") or {}, "Ready").get("reason") == reason)

    await eventually(lambda: waits_for("NoFunctions"))
    functions.apply("hello")
    await eventually(lambda: waits_for("NameTaken"))
    assert (await client.get(SERVICES, "lambda", namespace))["spec"]["ports"][0]["port"] == 80
    await client.delete(SERVICES, "lambda", namespace)
    await eventually(lambda: waits_for("NoFrontends"))
    assert control_plane.apply([frontends("10.1.0.1")]).returncode == 0
    await ready(client, namespace)
    await client.delete(ENDPOINT_SLICES, FRONTENDS, SYSTEM_NAMESPACE)
    await client.delete(FUNCTIONS, "hello", namespace)
    await eventually(lambda: waits_for("NoFunctions"))

    async def none() -> bool:
        return not await policies(client, namespace)

    await eventually(none)


async def test_members_of_a_named_group_reach_the_endpoint(
    served: str, functions: Functions, client: KubeClient, control_plane: ControlPlane
) -> None:
    """Environments too: the policy of their set opens the way, and closes it with the endpoint."""
    parts = [("Subnet", "a"), ("SecurityGroup", "app")]
    made = [
        {
            "apiVersion": "kubelambda.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": served},
            "spec": {},
        }
        for kind, name in parts
    ]
    assert control_plane.apply([*made, endpoint(served, securityGroupIds=["app"])]).returncode == 0
    functions.apply("inside", vpcConfig={"subnetIds": ["a"], "securityGroupIds": ["app"]})
    await functions.ready("inside")
    port = (await ready(client, served))["frontendPort"]
    (policy,) = await eventually(lambda: policies(client, served))
    member = policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    assert member == {"security-group.kubelambda.dev/app": ""}

    async def opened() -> list[int]:
        selector = f"{labels.NETWORK_POLICY},{labels.NETWORK_POLICY}!={labels.NETWORK_POLICY_BASE}"
        found = await listed(client, NETWORK_POLICIES, served, label_selector=selector)
        return [rule["ports"][0]["port"] for each in found for rule in each["spec"].get("egress") or []]

    async def opens(*ports: int) -> bool:
        return await opened() == list(ports)

    await eventually(lambda: opens(port))
    await client.delete(INVOKE_ENDPOINTS, "lambda", served)
    await eventually(opens)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"policy": [{"principals": [], "functions": ["f"]}]}, "should have at least 1 items"),
        ({"policy": [{"effect": "Perhaps", "principals": ["*"], "functions": ["f"]}]}, "Unsupported value"),
        ({"securityGroupIds": [f"g{number}" for number in range(6)]}, "must have at most 5 items"),
        ({"allowedNamespaces": ["Team"]}, "should match"),
    ],
)
def test_what_cannot_be_an_endpoint_is_refused(control_plane: ControlPlane, spec: Object, message: str) -> None:
    """By the API server, with a word on why."""
    applied = control_plane.apply([endpoint("default", **spec)])
    assert applied.returncode != 0
    assert message in applied.stderr
    assert "name of an InvokeEndpoint" in control_plane.apply([endpoint("default", "7th.one")]).stderr
