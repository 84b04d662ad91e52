"""A vpcConfig decides what a function reaches, tried with real packets before and after a change of rules (§10.1)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from installation.account import Account
from installation.kubectl import eventually, kubectl, kubectl_json
from installation.peers import server
from installation.reach import REACH
from installation.release import RELEASE, SYSTEM_NAMESPACE

SOURCE = (
    REACH
    + """
from concurrent.futures import ThreadPoolExecutor

def resolves(name):
    try:
        socket.getaddrinfo(name, 80)
        return "reached"
    except OSError:
        return "blocked"

at_init = {"other:5432": reach("OTHER", 5432)}

def handler(event, context):
    with ThreadPoolExecutor(len(event)) as pool:
        found = dict(zip(event, pool.map(lambda address: reach(*address), event.values())))
    return {**found, "DNS": resolves("kubernetes.default.svc.cluster.local"), "at INIT": at_init}
"""
)


def group(account: Account, first: int, last: int) -> None:
    """The group of the function: what members of `db` serve on some ports."""
    rule = {"ipProtocol": "tcp", "fromPort": first, "toPort": last, "to": [{"securityGroup": "db"}]}
    account.apply({"kind": "SecurityGroup", "metadata": {"name": "app"}, "spec": {"egress": [rule]}})


@pytest.fixture(scope="module")
def targets(account: Account) -> Iterator[dict[str, Any]]:
    """Addresses by the names under which a function reports them."""
    labels = {"member": {"security-group.kubelambda.dev/db": ""}, "other": {"app": "other"}}
    with ThreadPoolExecutor(len(labels)) as pool:
        member, other = pool.map(lambda name: server(account, name, labels[name]), labels)
    service = kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", "service", f"{RELEASE}-frontend")
    slices = kubectl_json("--namespace", "default", "get", "endpointslices", "kubernetes")
    yield {
        "db:5432": (member, 5432),
        "db:5433": (member, 5433),
        "other:5432": (other, 5432),
        "frontend": (service["spec"]["clusterIP"], 80),
        "API server": (slices["endpoints"][0]["addresses"][0], slices["ports"][0]["port"]),
    }
    kubectl("--namespace", account.namespace, "delete", "pods", "member", "other", "--wait=false")


def test_security_groups_decide_what_a_function_reaches(account: Account, targets: dict[str, Any]) -> None:
    """From INIT on, with DNS always; a change of rules holds for the environment that runs. Others share its policy."""
    source = SOURCE.replace("OTHER", targets["other:5432"][0])
    network = {"subnetIds": ["private-a"], "securityGroupIds": ["app"]}
    account.function("open", source, timeout=60)
    assert eventually(lambda: all_reached(account, targets, "db:5432", "db:5433", "other:5432"))

    account.apply({"kind": "Subnet", "metadata": {"name": "private-a"}, "spec": {}})
    account.apply({"kind": "SecurityGroup", "metadata": {"name": "db"}, "spec": {}})
    group(account, 5432, 5432)
    account.function("closed", source, timeout=60, vpcConfig=network)
    blocked = dict.fromkeys(targets, "blocked") | {"DNS": "reached", "at INIT": {"other:5432": "blocked"}}
    found = eventually(lambda: reached(account, targets, blocked | {"db:5432": "reached"}))
    assert found

    before = account.environment("closed")["metadata"]["uid"]
    group(account, 5433, 5433)
    assert eventually(lambda: reached(account, targets, blocked | {"db:5433": "reached"}))
    assert account.environment("closed")["metadata"]["uid"] == before

    account.function("neighbour", source, timeout=60, vpcConfig=network)
    assert len(policies(account)) == 1
    kubectl("--namespace", account.namespace, "delete", "function", "closed", "neighbour")
    eventually(lambda: policies(account) == [])


def test_a_subnet_that_does_not_exist_is_named(account: Account) -> None:
    """With Lambda's words and reason; the function becomes Active when it comes."""
    network = {"subnetIds": ["private-z"], "securityGroupIds": ["app"]}
    group(account, 5432, 5432)
    account.function("waiting", "def handler(e, c): return 1", ready=False, vpcConfig=network)
    status = eventually(lambda: failed(account))
    assert (status["state"], status["stateReasonCode"]) == ("Failed", "InvalidSubnet")
    assert "The subnet ID 'private-z' does not exist" in status["stateReason"]
    account.apply({"kind": "Subnet", "metadata": {"name": "private-z"}, "spec": {}})
    account.wait_ready("waiting")


def failed(account: Account) -> Any:
    """The status of the function that waits, once there is one."""
    status = account.get("function", "waiting").get("status", {})
    return status if status.get("state") == "Failed" else None


def all_reached(account: Account, targets: dict[str, Any], *names: str) -> bool:
    """Whether the open function reaches these, once who is there listens."""
    found = account.invoke("open", targets)["Payload"]
    assert {found[name] for name in names} == {"reached"}, found
    return True


def reached(account: Account, targets: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Whether the closed function reaches what is expected; what it does reach, when it is something else."""
    found = account.invoke("closed", targets)["Payload"]
    if found != expected:
        raise AssertionError(found)
    return True


def policies(account: Account) -> list[str]:
    """Policies of sets of subnets and groups."""
    selector = "kubelambda.dev/network-policy,kubelambda.dev/network-policy!=base"
    found = kubectl_json("--namespace", account.namespace, "get", "networkpolicies", "--selector", selector)["items"]
    return [policy["metadata"]["name"] for policy in found]
