"""Whoever enforces policies is late, and nothing forbidden gets out: before INIT, in INIT, after it (§10.1)."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from installation.account import Account
from installation.kubectl import eventually, kubectl
from installation.peers import server
from installation.reach import REACH

CLUSTER = Path(__file__).parent.parent / "cluster"
pytestmark = pytest.mark.exclusive  # while the enforcer is away, nobody's policies hold
LATE_S = 2.0
GROUPS = {"first": "app", "second": "late"}
"""Two networks: of the pods that they share, one is opened ahead for neither."""
CLOSED_POOL = "kubelambda.dev/pool,kubelambda.dev/network=closed,!kubelambda.dev/network-set"
SOURCE = (
    REACH
    + """
at_init = reach("FORBIDDEN", 5432)

def handler(event, context):
    found = {name: reach(address, 5432) for name, address in event.items()}
    return {**found, "at INIT": at_init}
"""
)


def switch(action: str) -> None:
    """Stops the enforcer where it is, or lets it go on."""
    subprocess.run([sys.executable, CLUSTER, action, "networkpolicy-enforcer"], check=True, timeout=120)


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Nobody enforces anything new: pods that come are open, and labels that come change nothing."""
    switch("pause")
    try:
        yield
    finally:
        switch("resume")


@pytest.fixture(scope="module")
def targets(account: Account) -> dict[str, str]:
    """Addresses of what the functions may reach, and of what they may not; groups that say so, and the functions."""
    account.apply({"kind": "Subnet", "metadata": {"name": "private"}, "spec": {}})
    account.apply({"kind": "SecurityGroup", "metadata": {"name": "db"}, "spec": {}})
    rule = {"ipProtocol": "tcp", "fromPort": 5432, "toPort": 5432, "to": [{"securityGroup": "db"}]}
    for group in GROUPS.values():
        account.apply({"kind": "SecurityGroup", "metadata": {"name": group}, "spec": {"egress": [rule]}})
    allowed = server(account, "allowed", {"security-group.kubelambda.dev/db": ""})
    forbidden = server(account, "forbidden", {"app": "other"})
    source = SOURCE.replace("FORBIDDEN", forbidden)
    for name, group in GROUPS.items():
        network = {"subnetIds": ["private"], "securityGroupIds": [group]}
        account.function(name, source, timeout=60, vpcConfig=network)
    return {"allowed": allowed, "forbidden": forbidden}


def ready_pool_pods(account: Account) -> list[str]:
    """Pods of the closed pool that found themselves closed."""
    found = []
    for pod in account.pods(CLOSED_POOL):
        conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
        if conditions.get("Ready") == "True":
            found.append(pod["metadata"]["name"])
    return found


def test_a_new_pod_waits_until_its_policy_holds(account: Account, targets: dict[str, str]) -> None:
    """It runs for seconds without one, and gets no function: what that finds then is closed, from INIT on."""
    with ThreadPoolExecutor(1) as callers:
        with paused():
            call = callers.submit(account.invoke, "first", targets)
            eventually(lambda: [pod for pod in account.pods() if pod["status"].get("podIP")])
            time.sleep(LATE_S)
            assert not call.done()
        answer = call.result()["Payload"]
    assert (answer["forbidden"], answer["at INIT"]) == ("blocked", "blocked"), answer
    assert eventually(lambda: account.invoke("first", targets)["Payload"]["allowed"] == "reached")


def test_a_late_opening_lets_out_nothing_else(account: Account, targets: dict[str, str]) -> None:
    """A pool pod is closed when it is claimed, and stays so for all but what its groups allow once that is in force."""
    eventually(lambda: ready_pool_pods(account))
    with paused():
        answer = account.invoke("second", targets)["Payload"]
        assert answer == {"allowed": "blocked", "forbidden": "blocked", "at INIT": "blocked"}
        pod = account.environment("second")
        assert "kubelambda.dev/claimed-at" in pod["metadata"]["annotations"]  # it was the pool's

    def opened() -> Any:
        found = account.invoke("second", targets)["Payload"]
        assert found["forbidden"] == "blocked"
        return found["allowed"] == "reached"

    assert eventually(opened)
    kubectl("--namespace", account.namespace, "delete", "pods", "allowed", "forbidden", "--wait=false")
