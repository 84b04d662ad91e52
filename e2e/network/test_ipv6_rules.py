"""Rules for IPv6, by the policies of a cluster and real packets: between network namespaces, as pods have IPv4."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from installation.account import Account
from installation.kubectl import eventually, kubectl_json
from network.ipv6_hosts import POD, Flow, Hosts, hosts, possible

pytestmark = pytest.mark.skipif(not possible(), reason="network namespaces need root, ip and nft")
DATABASE, NEIGHBOUR, PUBLIC, METADATA = "fd20:1::5", "fd20:2::5", "2600:9000::5", "fd00:ec2::254"
ADDRESSES = (DATABASE, NEIGHBOUR, PUBLIC, METADATA)
EGRESS = [
    {"ipProtocol": "tcp", "fromPort": 5432, "toPort": 5433, "to": [{"cidr": "fd20:1::/32"}]},
    {"ipProtocol": "udp", "fromPort": 5432, "toPort": 5432, "to": [{"cidr": "fd20:2::/64"}]},
    {"ipProtocol": "tcp", "fromPort": 443, "toPort": 443, "to": [{"cidr": "::/0"}]},
]
INGRESS = [{"ipProtocol": "tcp", "fromPort": 7000, "toPort": 7000, "from": [{"cidr": "fd20:1::/32"}]}]
PORTS = ("tcp443", "tcp5432", "tcp5433", "tcp5434", "tcp7000", "tcp7001", "tcp9010", "udp5432", "udp5433")
AT_FIRST = {
    Flow("tcp", POD, DATABASE, 5432): "reached",
    Flow("tcp", POD, DATABASE, 5433): "reached",
    Flow("tcp", POD, DATABASE, 5434): "blocked",
    Flow("udp", POD, DATABASE, 5432): "blocked",
    Flow("tcp", POD, DATABASE, 443): "blocked",
    Flow("tcp", POD, NEIGHBOUR, 5432): "blocked",
    Flow("udp", POD, NEIGHBOUR, 5432): "reached",
    Flow("udp", POD, NEIGHBOUR, 5433): "blocked",
    Flow("tcp", POD, PUBLIC, 443): "reached",
    Flow("tcp", POD, PUBLIC, 5432): "blocked",
    Flow("tcp", POD, METADATA, 443): "blocked",
    Flow("tcp", DATABASE, POD, 7000): "reached",
    Flow("tcp", DATABASE, POD, 7001): "blocked",
    Flow("tcp", NEIGHBOUR, POD, 7000): "blocked",
    Flow("tcp", DATABASE, POD, 9010): "blocked",
}
AFTERWARDS = AT_FIRST | {
    Flow("tcp", POD, DATABASE, 5432): "blocked",
    Flow("tcp", POD, DATABASE, 5433): "blocked",
    Flow("udp", POD, NEIGHBOUR, 5432): "blocked",
    Flow("tcp", POD, NEIGHBOUR, 5432): "reached",
    Flow("tcp", POD, PUBLIC, 443): "blocked",
    Flow("tcp", DATABASE, POD, 7000): "blocked",
}


@pytest.fixture(scope="module")
def between() -> Iterator[Hosts]:
    """What the function's pod would be, and what it would reach."""
    with hosts(ADDRESSES, PORTS) as found:
        yield found


def group(account: Account, **rules: list[dict[str, Any]]) -> None:
    """The rules of the function's group."""
    account.apply({"kind": "SecurityGroup", "metadata": {"name": "six"}, "spec": rules})


def enforced(account: Account, between: Hosts) -> None:
    """The policies as the operator has made them, on the pod as the frontend has claimed it."""
    pod = account.environment("inside")
    policies = kubectl_json("--namespace", account.namespace, "get", "networkpolicies")["items"]
    between.enforce(pod, kubectl_json("get", "namespace", account.namespace), policies)


def verdicts(account: Account, between: Hosts, expected: dict[Flow, str]) -> bool:
    """Whether every flow becomes what it is to become, once the operator has seen the rules."""
    enforced(account, between)
    with ThreadPoolExecutor(len(expected)) as pool:
        found = dict(zip(expected, pool.map(between.attempt, expected), strict=True))
    assert found == expected
    return True


def test_rules_for_ipv6_let_through_what_they_say(account: Account, between: Hosts) -> None:
    """Blocks, ports and protocols, out and in; the internet without private ranges; never metadata, never the agent."""
    account.apply({"kind": "Subnet", "metadata": {"name": "outside"}, "spec": {"internet": True}})
    group(account, egress=EGRESS, ingress=INGRESS)
    network = {"subnetIds": ["outside"], "securityGroupIds": ["six"]}
    account.function("inside", "def handler(event, context):\n    return 1", vpcConfig=network)
    assert account.invoke("inside")["Payload"] == 1
    assert eventually(lambda: verdicts(account, between, AT_FIRST))
    group(account, egress=[{"ipProtocol": "tcp", "fromPort": 5432, "toPort": 5432, "to": [{"cidr": "fd20:2::/32"}]}])
    assert eventually(lambda: verdicts(account, between, AFTERWARDS))
