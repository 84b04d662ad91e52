"""Warm pools follow the rate of claims, and claimed pods get their size wherever the cluster has room for it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from installation.account import Account
from installation.held import HELD_S, HOLD, Held
from installation.kubectl import eventually, kubectl, kubectl_json
from installation.release import platform_image

BUSY = (
    HOLD
    + """
def handler(event, context):
    if event:
        hold(event["hold"])
    return 1
"""
)
POOL = "kubelambda-pool-python3-13"
PATIENCE_S = 420
"""Longer than the pause before a pod that found no place is tried once more."""


def replicas(account: Account) -> int:
    """Size of the namespace's pool."""
    return int(account.get("deployment", POOL)["spec"]["replicas"])


def test_a_pool_grows_with_the_claims_up_to_its_maximum(other_account: Account) -> None:
    """And an annotation that fixes its size takes the growth back."""
    annotation = "pool-size.kubelambda.dev/python3.13"
    kubectl("annotate", "namespace", other_account.namespace, f"{annotation}=1-4", "--overwrite")
    other_account.function("busy", BUSY, timeout=HELD_S)
    eventually(lambda: replicas(other_account) == 1)
    with Held(other_account, "claims") as held:
        held.invoke("busy", 8)
        eventually(lambda: replicas(other_account) == 4)
    kubectl("annotate", "namespace", other_account.namespace, f"{annotation}=1", "--overwrite")
    eventually(lambda: replicas(other_account) == 1)
    kubectl("--namespace", other_account.namespace, "delete", "function", "busy", "--wait")
    eventually(lambda: other_account.pods() == [])  # what they have is room for what the next test has to have none for


def milli(quantity: str) -> int:
    """CPU in thousandths of a core."""
    return int(quantity[:-1]) if quantity.endswith("m") else int(float(quantity) * 1000)


def free_cpu() -> int:
    """CPU that the node with the most of it can still give away, in thousandths of a core."""
    free = {node["metadata"]["name"]: milli(node["status"]["allocatable"]["cpu"]) for node in nodes()}
    for pod in pods():
        if pod["spec"].get("nodeName") in free and pod["status"]["phase"] not in ("Succeeded", "Failed"):
            for container in pod["spec"]["containers"]:
                requests = container.get("resources", {}).get("requests", {})
                free[pod["spec"]["nodeName"]] -= milli(requests.get("cpu", "0"))
    return max(free.values())


def pods() -> list[Any]:
    """Every pod of the cluster."""
    found: list[Any] = kubectl_json("get", "pods", "--all-namespaces")["items"]
    return found


def nodes() -> list[Any]:
    """The cluster's nodes."""
    found: list[Any] = kubectl_json("get", "nodes")["items"]
    return found


@pytest.fixture
def full_node(account: Account) -> Iterator[str]:
    """A pod that takes all CPU that is left on the only node but a few thousandths."""
    if len(nodes()) != 1:
        pytest.skip("needs a cluster of one node: others would have room")

    def left() -> bool:
        """No pod of earlier tests goes any more, nor has to: what they had would be room."""
        namespaces = kubectl_json("get", "namespaces")["items"]
        ending = {each["metadata"]["name"] for each in namespaces if "deletionTimestamp" in each["metadata"]}
        found = [pod["metadata"] for pod in pods()]
        return not any("deletionTimestamp" in pod or pod["namespace"] in ending for pod in found)

    eventually(left)
    container = {
        "name": "filler",
        "image": platform_image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/bin/python3", "-c", "import time; time.sleep(3600)"],
        "resources": {"requests": {"cpu": f"{free_cpu() - 4}m"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 12345, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"securityContext": security, "containers": [container], "terminationGracePeriodSeconds": 0}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "filler"}, "spec": spec}
    kubectl("--namespace", account.namespace, "apply", "--filename", "-", stdin=json.dumps(manifest))
    eventually(lambda: account.get("pod", "filler")["status"]["phase"] == "Running")
    yield "filler"
    kubectl("--namespace", account.namespace, "delete", "pod", "filler", "--ignore-not-found", "--wait")


@pytest.mark.exclusive
@pytest.mark.timeout(1200)
def test_a_pod_that_its_node_cannot_resize_serves_until_another_takes_its_place(
    account: Account, request: pytest.FixtureRequest
) -> None:
    """Its limits are the function's at once; the scheduler finds the new pod a place when there is room."""
    annotation = "pool-size.kubelambda.dev/python3.13=1"
    kubectl("annotate", "namespace", account.namespace, annotation, "--overwrite")
    account.function("misplaced", BUSY, memorySize=1769, timeout=60)
    eventually(lambda: account.get("deployment", POOL)["status"].get("readyReplicas") == 1)
    filler = request.getfixturevalue("full_node")
    assert account.invoke("misplaced", 0)["Payload"] == 1

    def running() -> str:
        """The one that answered; another may wait for a place already."""
        (found,) = (pod["metadata"]["name"] for pod in account.environments("misplaced") if pod["status"].get("podIP"))
        return str(found)

    first = eventually(running)

    def limited() -> bool:
        resources = account.get("pod", first)["status"]["containerStatuses"][0]["resources"]
        return milli(resources["limits"]["cpu"]) == 1000 and milli(resources["requests"]["cpu"]) == 10

    eventually(limited)
    eventually(lambda: len(account.environments("misplaced")) == 2, timeout=PATIENCE_S)
    assert account.invoke("misplaced", 0)["Payload"] == 1
    kubectl("--namespace", account.namespace, "delete", "pod", filler, "--wait")

    def replaced() -> bool:
        assert account.invoke("misplaced", 0)["Payload"] == 1
        pods = account.environments("misplaced")
        return [pod["metadata"]["name"] for pod in pods] != [first] and len(pods) == 1

    eventually(replaced, timeout=PATIENCE_S)
    (pod,) = account.environments("misplaced")
    assert milli(pod["status"]["containerStatuses"][0]["resources"]["requests"]["cpu"]) > 10
    assert account.invoke("misplaced", 0)["Payload"] == 1
