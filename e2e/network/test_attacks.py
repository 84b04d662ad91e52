"""The list of attacks from inside of functions, tried with real packets: what each got is what the document says."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from installation.account import Account
from installation.kubectl import eventually, kubectl, kubectl_json, staying
from installation.peers import server
from installation.release import RELEASE, SYSTEM_NAMESPACE
from network.attacks import ATTACKS, SOURCE, attack_table, targets
from network.flow_peers import addresses_of_the_cluster, cluster_ip

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "network-flows.md"
VICTIM = "def handler(event, context):\n    return 1"
USER = {"app": "attacked"}


def pod_address(component: str) -> str:
    """Address of one of our own pods."""
    selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"
    return an_address(kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", "pods", "--selector", selector)["items"])


def an_address(pods: list[Any]) -> str:
    """Of one of these pods that stay."""
    found: list[str] = [pod["status"]["podIP"] for pod in staying(pods) if pod["status"].get("podIP")]
    assert found, "no pod has an address at the moment"
    return found[0]


def idle_pool_pod(account: Account) -> str:
    """Address of a pod that no function has."""
    return an_address(account.pods("kubelambda.dev/pool=python3.13"))


def found_addresses(account: Account, other: Account) -> dict[str, str]:
    """Where everything is at the moment."""
    cluster = addresses_of_the_cluster()
    return {
        "agent of another function": account.environment("victim")["status"]["podIP"],
        "agent of a pool's pod": idle_pool_pod(account),
        "agent of another namespace": other.environment("victim")["status"]["podIP"],
        "frontend": pod_address("frontend"),
        "operator": pod_address("operator"),
        "control API": pod_address("awsapi"),
        "code store": cluster["code store"],
        "code fetcher": cluster_ip(SYSTEM_NAMESPACE, f"{RELEASE}-code-fetcher"),
        "event queue": pod_address("events"),
        "pollers": pod_address("pollers"),
        "API server": cluster["API server"],
        "API server's Service": cluster["API service"],
        "user's pod of the namespace": account.get("pod", "attacked")["status"]["podIP"],
        "user's pod of another namespace": other.get("pod", "attacked")["status"]["podIP"],
    }


@pytest.fixture(scope="module")
def attackers(account: Account, other_account: Account) -> Iterator[Account]:
    """Two functions that attack, and what there is to attack."""
    both = (account, other_account)
    for kind, name in (("Subnet", "private"), ("SecurityGroup", "bare")):
        account.apply({"kind": kind, "metadata": {"name": name}, "spec": {}})
    network = {"subnetIds": ["private"], "securityGroupIds": ["bare"]}
    account.function("open", SOURCE, ready=False, timeout=120)
    account.function("closed", SOURCE, ready=False, timeout=120, vpcConfig=network)
    with ThreadPoolExecutor(4) as pool:
        started = [pool.submit(start_victim, each) for each in both]
        started += [pool.submit(server, each, "attacked", USER) for each in both]
    for each in started:
        each.result()
    for name in ("open", "closed"):
        account.wait_ready(name)
    yield account
    for each in both:
        kubectl("--namespace", each.namespace, "delete", "pod", "attacked", "--wait=false")


def start_victim(account: Account) -> None:
    """A function with an environment."""
    account.function("victim", VICTIM)
    account.invoke("victim")


def test_user_code_gets_what_the_document_says(attackers: Account, other_account: Account) -> None:
    """Nothing of the cluster's own, by whatever address: no connection is made, or what it asks for is refused."""
    expected = {
        "open": {each.name: each.by_open for each in ATTACKS},
        "closed": {each.name: each.by_closed for each in ATTACKS},
    }

    def attack(name: str) -> dict[str, str]:
        answers = attackers.invoke(name, targets(found_addresses(attackers, other_account)))["Payload"]
        assert isinstance(answers, list), answers
        return dict(zip((each.name for each in ATTACKS), answers, strict=True))

    def as_told() -> bool:
        with ThreadPoolExecutor(2) as pool:
            found = dict(zip(expected, pool.map(attack, expected), strict=True))
        assert found == expected
        return True

    assert eventually(as_told)


def test_the_document_has_the_list_that_is_tried() -> None:
    """`make network-flows` writes it."""
    assert attack_table() in DOCUMENT.read_text()
