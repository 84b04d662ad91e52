"""Networks of functions with a vpcConfig, against a real API server: one policy a set, from its first to its last."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from tests.integration.control_plane import SYSTEM_NAMESPACE, ControlPlane
from tests.integration.functions import Functions, condition, eventually, listed
from tests.integration.processes import Installation

from kubelambda.api import labels
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import FUNCTIONS, LEASES, NETWORK_POLICIES, NODES, SECURITY_GROUPS, SUBNETS, Resource

VPC = {"subnetIds": ["a"], "securityGroupIds": ["app"]}


def made(namespace: str, kind: str, name: str, **spec: Any) -> Object:
    """A Subnet or SecurityGroup."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "kubelambda.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def node(name: str, zone: str, *, pods: int = 110) -> Object:
    """A node that takes so many pods."""
    metadata = {"name": name, "labels": {"topology.kubernetes.io/zone": zone}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {"allocatable": {"pods": str(pods)}}}


def network(namespace: str, *, port: int = 5432) -> list[Object]:
    """A subnet, and a group that allows one port."""
    rule = {"ipProtocol": "tcp", "fromPort": port, "toPort": port, "to": [{"securityGroup": "db"}]}
    return [made(namespace, "Subnet", "a"), made(namespace, "SecurityGroup", "app", egress=[rule])]


async def sets(client: KubeClient, namespace: str) -> list[Object]:
    """Policies of sets."""
    selector = f"{labels.NETWORK_POLICY},{labels.NETWORK_POLICY}!={labels.NETWORK_POLICY_BASE}"
    return await listed(client, NETWORK_POLICIES, namespace, label_selector=selector)


async def test_a_set_has_one_policy_from_its_first_function_to_its_last(
    running: Installation, functions: Functions, client: KubeClient
) -> None:
    """The second function makes no object; rules change in place; a policy that is taken away comes back."""
    namespace = functions.namespace
    assert functions.control_plane.apply(network(namespace)).returncode == 0
    functions.apply("one", vpcConfig=VPC)
    status = await functions.ready("one")
    assert condition(status, "NetworkReady")["status"] == "True"
    (policy,) = await eventually(lambda: sets(client, namespace))
    assert policy["spec"]["egress"][0]["ports"] == [{"protocol": "TCP", "port": 5432}]
    functions.apply("two", vpcConfig=VPC)
    second = await functions.ready("two")
    assert second["deployed"]["network"] == status["deployed"]["network"]
    assert [each["metadata"]["uid"] for each in await sets(client, namespace)] == [policy["metadata"]["uid"]]

    assert functions.control_plane.apply(network(namespace, port=5433)).returncode == 0

    async def allows(port: int) -> bool:
        found = await sets(client, namespace)
        return bool(found) and found[0]["spec"]["egress"][0]["ports"][0]["port"] == port

    await eventually(lambda: allows(5433))
    await client.delete(NETWORK_POLICIES, policy["metadata"]["name"], namespace)
    await eventually(lambda: allows(5433))
    for name in ("one", "two"):
        await client.delete(FUNCTIONS, name, namespace)

    async def none() -> bool:
        return not await sets(client, namespace)

    await eventually(none)


async def test_a_missing_part_leaves_the_old_deployment(running: Installation, functions: Functions) -> None:
    """With Lambda's reason and words, until it is there."""
    functions.apply("moving")
    before = await functions.ready("moving")
    functions.apply("moving", vpcConfig=VPC)
    status = await functions.until("moving", lambda status: status["lastUpdateStatus"] == "Failed")
    assert status["lastUpdateStatusReasonCode"] == "InvalidSubnet"
    assert status["deployed"] == before["deployed"]
    subnet, group = network(functions.namespace)
    assert functions.control_plane.apply([subnet]).returncode == 0
    status = await functions.until("moving", lambda s: s["lastUpdateStatusReasonCode"] == "InvalidSecurityGroup")
    assert "The security group 'app' does not exist" in status["lastUpdateStatusReason"]
    assert functions.control_plane.apply([group]).returncode == 0
    status = await functions.ready("moving")
    assert status["deployed"]["network"]["securityGroups"] == ["app"]
    assert status["deployed"]["revision"] != before["deployed"]["revision"]


@pytest.fixture
async def nodes(control_plane: ControlPlane, client: KubeClient) -> AsyncIterator[None]:
    """A node in each of two zones."""
    assert control_plane.apply([node(name, f"zone-{name}") for name in "ab"]).returncode == 0
    yield
    for name in "ab":
        await client.delete(NODES, name)


async def test_environments_run_in_the_zones_of_their_subnets(
    running: Installation, functions: Functions, nodes: None
) -> None:
    """Which is part of what is deployed: when a subnet moves, so do they."""
    subnet, group = network(functions.namespace)
    subnet["spec"]["availabilityZone"] = "zone-a"
    assert functions.control_plane.apply([subnet, group]).returncode == 0
    functions.apply("zonal", vpcConfig=VPC)
    before = await functions.ready("zonal")
    assert before["deployed"]["network"]["zones"] == ["zone-a"]
    subnet["spec"]["availabilityZone"] = "zone-b"
    assert functions.control_plane.apply([subnet]).returncode == 0
    after = await functions.until("zonal", lambda status: status["deployed"]["network"]["zones"] == ["zone-b"])
    assert after["deployed"]["revision"] != before["deployed"]["revision"]


async def test_subnets_whose_zones_have_no_node_have_no_address(
    running: Installation, functions: Functions, nodes: None, client: KubeClient, control_plane: ControlPlane
) -> None:
    """With Lambda's reason; the old deployment serves; one zone of several is enough, and its first node mends it."""
    namespace = functions.namespace
    parts = [made(namespace, "SecurityGroup", "app"), made(namespace, "Subnet", "c", availabilityZone="zone-c")]
    parts.append(made(namespace, "Subnet", "a", availabilityZone="zone-a"))
    assert control_plane.apply(parts).returncode == 0
    functions.apply("moving")
    before = await functions.ready("moving")
    only_c = {"subnetIds": ["c"], "securityGroupIds": ["app"]}
    functions.apply("moving", vpcConfig=only_c)
    # It fails for another reason before the operator has seen the subnet.
    status = await functions.until(
        "moving", lambda status: status.get("lastUpdateStatusReasonCode") == "SubnetOutOfIPAddresses"
    )
    assert status["lastUpdateStatus"] == "Failed"
    assert status["lastUpdateStatusReason"].endswith("no available IP addresses: no node in zone-c takes pods")
    assert (status["state"], status["deployed"]) == ("Active", before["deployed"])
    functions.apply("new", vpcConfig=only_c)
    status = await functions.until("new", lambda status: status.get("state") == "Failed")
    assert status["stateReasonCode"] == "SubnetOutOfIPAddresses"
    functions.apply("both", vpcConfig={"subnetIds": ["a", "c"], "securityGroupIds": ["app"]})
    assert (await functions.ready("both"))["deployed"]["network"]["zones"] == ["zone-a", "zone-c"]
    assert control_plane.apply([node("c", "zone-c", pods=0)]).returncode == 0
    try:
        assert (await functions.status("new"))["state"] == "Failed"
        room = {"status": {"allocatable": {"pods": "110"}}}
        await client.patch(NODES, "c", room, subresource="status")
        for name in ("moving", "new"):
            assert (await functions.ready(name))["deployed"]["network"]["zones"] == ["zone-c"]
        await client.patch(NODES, "c", {"spec": {"unschedulable": True}})
        status = await functions.until("new", lambda found: condition(found, "NetworkReady")["status"] == "False")
        assert (status["state"], status["lastUpdateStatus"]) == ("Active", "Successful")
        assert condition(status, "NetworkReady")["reason"] == "SubnetOutOfIPAddresses"
        functions.apply("new", vpcConfig=only_c, timeout=7)
        status = await functions.until("new", lambda found: found["lastUpdateStatus"] == "Failed")
        assert status["lastUpdateStatusReasonCode"] == "SubnetOutOfIPAddresses"
        assert status["deployed"]["timeout"] == 3
        await client.patch(NODES, "c", {"spec": {"unschedulable": False}})
        assert (await functions.ready("new"))["deployed"]["timeout"] == 7
    finally:
        await client.delete(NODES, "c")


async def test_what_functions_use_is_held_until_they_name_it_no_more(
    running: Installation, functions: Functions, client: KubeClient
) -> None:
    """Whoever deletes it is told who uses it; its rules hold until then, and what nobody uses goes at once."""
    namespace, space = functions.namespace, ("--namespace", functions.namespace)
    assert functions.control_plane.apply(network(namespace)).returncode == 0
    functions.apply("user", vpcConfig=VPC)
    await functions.ready("user")
    parts = ((SUBNETS, "a"), (SECURITY_GROUPS, "app"))

    async def held(resource: Resource, name: str) -> bool:
        return bool((await client.get(resource, name, namespace))["metadata"].get("finalizers"))

    async def refused(resource: Resource, name: str) -> Object:
        return condition((await client.get(resource, name, namespace)).get("status") or {}, "DeletionRefused")

    for resource, name in parts:
        await eventually(partial(held, resource, name))
        await client.delete(resource, name, namespace)
        told = await eventually(partial(refused, resource, name))
        assert told["message"].startswith("in use by Function user: ")
    (policy,) = await eventually(lambda: sets(client, namespace))
    assert policy["spec"]["egress"][0]["ports"] == [{"protocol": "TCP", "port": 5432}]
    assert functions.control_plane.kubectl("delete", "function", "user", *space).returncode == 0

    async def gone(resource: Resource, name: str) -> bool:
        return await client.find(resource, name, namespace) is None

    for resource, name in parts:
        await eventually(partial(gone, resource, name))


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (made("default", "SecurityGroup", "g" * 64), "63 characters"),
        (made("default", "SecurityGroup", "bad", egress=[{"to": []}]), "should have at least 1 items"),
        (
            made("default", "SecurityGroup", "bad", egress=[{"to": [{"cidr": "10.0.0.0/33"}]}]),
            "cidr is no block of addresses",
        ),
        (made("default", "SecurityGroup", "bad", egress=[{"to": [{}]}]), "a peer is exactly one of"),
        (
            made(
                "default",
                "SecurityGroup",
                "bad",
                egress=[{"ipProtocol": "tcp", "fromPort": 2, "toPort": 1, "to": [{"securityGroup": "x"}]}],
            ),
            "fromPort is greater than toPort",
        ),
    ],
)
def test_rules_that_cannot_hold_are_refused(control_plane: ControlPlane, manifest: Object, message: str) -> None:
    """By the API server, with a word on why."""
    applied = control_plane.apply([manifest])
    assert applied.returncode != 0
    assert message in applied.stderr


@pytest.mark.parametrize("config", [{"subnetIds": ["a"]}, {"subnetIds": [f"s{n}" for n in range(17)]},
                                    {"subnetIds": ["a"], "securityGroupIds": [f"g{n}" for n in range(6)]}])  # fmt: skip
def test_a_vpc_config_that_lambda_refuses_is_refused(functions: Functions, config: Object) -> None:
    """Half of it, 17 subnets, 6 groups."""
    assert functions.control_plane.apply([functions.manifest("bad", vpcConfig=config)]).returncode != 0


async def test_both_lists_empty_are_no_network(running: Installation, functions: Functions, client: KubeClient) -> None:
    """As Lambda detaches a function: it is as one without a vpcConfig (§1.2)."""
    assert functions.control_plane.apply(network(functions.namespace)).returncode == 0
    functions.apply("leaving", vpcConfig=VPC)
    await functions.ready("leaving")
    functions.apply("leaving", vpcConfig={"subnetIds": [], "securityGroupIds": []})
    status = await functions.ready("leaving")
    assert "network" not in status["deployed"]

    async def none() -> bool:
        return not await sets(client, functions.namespace)

    await eventually(none)


async def test_groups_that_name_each_other_and_themselves_hold_nobody_up(
    running: Installation, functions: Functions, client: KubeClient
) -> None:
    """A circle is what peers are for: both policies are there, and all of it goes when nobody uses it."""
    namespace = functions.namespace
    circle = {"one": "two", "two": "one"}
    groups = [
        made(
            namespace,
            "SecurityGroup",
            name,
            egress=[{"to": [{"securityGroup": other}, {"securityGroup": name}]}],
            ingress=[{"from": [{"securityGroup": other}, {"securityGroup": name}]}],
        )
        for name, other in circle.items()
    ]
    assert functions.control_plane.apply([made(namespace, "Subnet", "a"), *groups]).returncode == 0
    for name in circle:
        functions.apply(name, vpcConfig={"subnetIds": ["a"], "securityGroupIds": [name]})
    for name in circle:
        await functions.ready(name)

    async def both() -> bool:
        return len(await sets(client, namespace)) == 2

    await eventually(both)
    for policy in await sets(client, namespace):
        named = [list(peer["podSelector"]["matchLabels"]) for peer in policy["spec"]["egress"][0]["to"]]
        assert sorted(named) == [[f"{labels.SECURITY_GROUP}/one"], [f"{labels.SECURITY_GROUP}/two"]]
    for name in circle:
        await client.delete(FUNCTIONS, name, namespace)
        await client.delete(SECURITY_GROUPS, name, namespace)

    async def gone() -> bool:
        return not [name for name in circle if await client.find(SECURITY_GROUPS, name, namespace)]

    await eventually(gone)


async def test_what_changes_while_no_operator_runs_is_in_force_once_one_does(
    running: Installation, functions: Functions, client: KubeClient
) -> None:
    """It was killed amid a change; meanwhile rules changed, a policy was taken away and another function came."""
    namespace = functions.namespace
    assert functions.control_plane.apply(network(namespace)).returncode == 0
    functions.apply("one", vpcConfig=VPC)
    await functions.ready("one")
    (policy,) = await eventually(lambda: sets(client, namespace))
    assert functions.control_plane.apply(network(namespace, port=5433)).returncode == 0
    next(each for each in running.components if each.name.startswith("operator")).kill()
    await client.delete(LEASES, "kubelambda-operator", SYSTEM_NAMESPACE)  # it would run out after a quarter of a minute
    assert functions.control_plane.apply(network(namespace, port=5434)).returncode == 0
    await client.delete(NETWORK_POLICIES, policy["metadata"]["name"], namespace)
    other = {"subnetIds": ["a"], "securityGroupIds": ["other"]}
    assert functions.control_plane.apply([made(namespace, "SecurityGroup", "other")]).returncode == 0
    functions.apply("two", vpcConfig=other)
    running.operator("operator-after")
    await functions.ready("two", 180)

    async def ports() -> bool:
        rules = [each["spec"].get("egress") or [] for each in await sets(client, namespace)]
        return sorted([port["port"] for rule in each for port in rule["ports"]] for each in rules) == [[], [5434]]

    await eventually(ports)


async def test_rules_for_ipv6_are_taken_by_a_cluster_of_ipv4_and_said_to_match_nothing(
    running: Installation, functions: Functions, client: KubeClient, control_plane: ControlPlane
) -> None:
    """Each block as it is, without private ranges where it is wide; nothing is said once pods have such addresses."""
    namespace = functions.namespace
    egress = [{"to": [{"cidr": "2001:db8::1/64"}, {"cidr": "::/0"}, {"cidr": "10.0.0.0/8"}, {"cidr": "fe80::/64"}]}]
    ingress = [{"ipProtocol": "tcp", "fromPort": 80, "toPort": 90, "from": [{"cidr": "2001:db8:1::/48"}]}]
    parts = [made(namespace, "SecurityGroup", "app", egress=egress, ingress=ingress)]
    parts.append(made(namespace, "Subnet", "a", internet=True))
    numbered = {**node("numbered", "zone-n"), "spec": {"podCIDR": "10.244.9.0/24", "podCIDRs": ["10.244.9.0/24"]}}
    assert control_plane.apply([*parts, numbered]).returncode == 0
    try:
        functions.apply("six", vpcConfig=VPC)
        await functions.ready("six")
        (policy,) = await eventually(lambda: sets(client, namespace))
        blocks = [peer["ipBlock"] for rule in policy["spec"]["egress"] for peer in rule["to"] if "ipBlock" in peer]
        found = {block["cidr"]: block.get("except", []) for block in blocks}
        assert {"2001:db8::/64", "::/0", "10.0.0.0/8"} <= set(found)
        assert "fe80::/64" not in found
        assert {"fc00::/7", "fe80::/10"} <= set(found["::/0"])
        assert policy["spec"]["ingress"][0]["from"] == [{"ipBlock": {"cidr": "2001:db8:1::/48"}}]

        async def said() -> Object:
            group = await client.get(SECURITY_GROUPS, "app", namespace)
            return condition(group.get("status", {}), "AddressesKnown")

        async def told() -> bool:
            return (await said()).get("reason") == "NoSuchAddresses"

        await eventually(told)
        assert "2001:db8::1/64" in (await said())["message"]
        assert "10.0.0.0/8" not in (await said())["message"]
        await client.delete(NODES, "numbered")
        both = ["10.244.9.0/24", "fd00:9::/64"]
        numbered["spec"] = {"podCIDR": both[0], "podCIDRs": both}
        assert control_plane.apply([numbered]).returncode == 0

        async def untold() -> bool:
            return await said() == {}

        await eventually(untold)
    finally:
        await client.delete(NODES, "numbered")


async def test_a_group_that_no_policy_can_have_keeps_no_other_from_changing(
    running: Installation, functions: Functions, client: KubeClient, control_plane: ControlPlane
) -> None:
    """Labels that are none pass the schema: the API server refuses their policy, and theirs only."""
    namespace = functions.namespace
    wrong = {"to": [{"podSelector": {"app": "no label!"}}]}
    parts = [*network(namespace), made(namespace, "SecurityGroup", "wrong", egress=[wrong])]
    assert control_plane.apply(parts).returncode == 0
    functions.apply("bad", vpcConfig={"subnetIds": ["a"], "securityGroupIds": ["wrong"]})
    functions.apply("good", vpcConfig=VPC)
    await functions.ready("good")

    async def told() -> bool:
        status = (await client.get(FUNCTIONS, "bad", namespace)).get("status", {})
        return (status.get("state"), status.get("stateReasonCode")) == ("Failed", "InvalidSecurityGroup")

    await eventually(told)

    async def named() -> bool:
        group = await client.get(SECURITY_GROUPS, "wrong", namespace)
        return "'app=no label!'" in condition(group.get("status", {}), "RulesInForce").get("message", "")

    await eventually(named)

    async def allows(port: int) -> bool:
        found = await sets(client, namespace)
        ports = [each["port"] for one in found for rule in one["spec"]["egress"] for each in rule.get("ports", [])]
        return ports == [port]

    for port in (5432, 5433, 5434):
        assert control_plane.apply(network(namespace, port=port)).returncode == 0
        await eventually(partial(allows, port))
    assert control_plane.apply([made(namespace, "SecurityGroup", "wrong")]).returncode == 0
    await functions.ready("bad")
