"""One of two zones is lost without a word: what was in flight there is lost, and nothing else (§10.1).

`make zone-loss` also waits until Kubernetes finds out by itself that the node is lost, which takes it a minute.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from installation.account import Account
from installation.kubectl import eventually, kubectl, kubectl_json, staying
from installation.load import COUNT, Load, Outcome
from installation.published import alias, provisioned, publish
from installation.release import RELEASE, SYSTEM_NAMESPACE, rolled_out, second_node

PATIENT = bool(os.environ.get("ZONE_LOSS_PATIENT"))
ZONE = "topology.kubernetes.io/zone"
IMAGES = ("platform", "runtime-python3.13")
SPREAD = ("frontend", "operator")
CALLERS = 6
NETWORK = {"subnetIds": ["zonal-a", "zonal-b"], "securityGroupIds": ["zonal"]}
CLIENT = {"connect_timeout": 1, "read_timeout": 12}


@pytest.fixture(scope="module")
def zones() -> Iterator[None]:
    """A second node in a second zone, and the components of the release spread over both."""
    if kubectl("get", "node", "kubelambda", "--ignore-not-found") == "":
        pytest.skip("a second node is added to a node of our own only")
    second_node("add", *IMAGES)
    try:
        for component in SPREAD:
            kubectl("--namespace", SYSTEM_NAMESPACE, "rollout", "restart", f"deployment/{RELEASE}-{component}")
        for component in SPREAD:
            rolled_out("deployment", component)
        yield
    finally:
        second_node("remove")
        for component in SPREAD:
            rolled_out("deployment", component)


def by_zone(pods: Sequence[Any]) -> dict[str, int]:
    """How many of these pods are ready in each zone, those left out that are on their way out."""
    zone_of = {each["metadata"]["name"]: each["metadata"]["labels"].get(ZONE) for each in nodes()}
    ready = [each for each in staying(list(pods)) if is_ready(each)]
    return dict(Counter(str(zone_of.get(each["spec"]["nodeName"])) for each in ready))


def nodes() -> list[Any]:
    """The cluster's."""
    found: list[Any] = kubectl_json("get", "nodes")["items"]
    return found


def is_ready(pod: Any) -> bool:
    """As Kubernetes sees it."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))


def component(name: str) -> list[Any]:
    """Pods of a component of the release."""
    selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={name}"
    found: list[Any] = kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", "pods", "--selector", selector)["items"]
    return found


def provision(account: Account, environments: int, expected: dict[str, int]) -> None:
    """So many environments of the alias, and so many of them in each zone."""
    alias(account, "zonal", 1, provisioned=environments)

    def there() -> bool:
        found = by_zone(account.pods("kubelambda.dev/function=zonal,kubelambda.dev/provisioned"))
        assert found == expected, found
        return bool(provisioned(account, "zonal").get("status") == "READY")

    eventually(there, timeout=240)


@pytest.fixture(scope="module")
def zonal(account: Account, zones: None) -> str:
    """A function in subnets of both zones, with two provisioned environments in each."""
    for letter in "ab":
        spec = {"availabilityZone": f"zone-{letter}", "internet": False}
        account.apply({"kind": "Subnet", "metadata": {"name": f"zonal-{letter}"}, "spec": spec})
    account.apply({"kind": "SecurityGroup", "metadata": {"name": "zonal"}, "spec": {}})
    publish(account, "zonal", 1, COUNT, vpcConfig=NETWORK)
    provision(account, 4, {"zone-a": 2, "zone-b": 2})
    return "zonal:live"


def served(outcomes: Sequence[Outcome], after: float, times: int) -> bool:
    """Whether the last requests of every caller, all begun after a moment, had their answer."""
    for caller in range(CALLERS):
        latest = [each for each in outcomes if each.caller == caller][-times:]
        if len(latest) < times or any(each.started < after or each.error or each.function_error for each in latest):
            return False
    return True


@pytest.mark.exclusive
@pytest.mark.timeout(900)
def test_a_zone_that_is_lost_loses_what_was_in_flight_there(account: Account, zonal: str) -> None:
    """Callers go on with the zone that is left, where pods are replaced; the zone comes back and takes its share."""
    for name in SPREAD:
        assert by_zone(component(name)) == {"zone-a": 1, "zone-b": 1}, name

    event = {"seconds": 0.05}
    with Load(account, zonal, CALLERS, event=event, client=CLIENT, connects=6) as load:
        eventually(lambda: len(load.outcomes) > 100)
        before = time.monotonic()
        second_node("lose")
        lost = time.monotonic()
        eventually(lambda: served(list(load.outcomes), lost, 20))
        report(load, before, lost)
    assert load.nothing_duplicated
    assert load.failed, "nothing was in flight in the zone that was lost"
    losses = Counter(each.caller for each in load.failed)
    assert max(losses.values()) <= 2, load.summary()

    if not PATIENT:
        second_node("forget")
    for name in SPREAD:
        eventually(lambda name=name: by_zone(component(name)) == {"zone-a": 2}, timeout=240)  # type: ignore[misc]
    provision(account, 4, {"zone-a": 4})

    second_node("add", *IMAGES)
    provision(account, 6, {"zone-a": 4, "zone-b": 2})
    assert account.invoke(zonal, {"number": "last"})["Payload"]["number"] == "last"


def report(load: Load, before: float, lost: float) -> None:
    """What was lost, and when, for whoever reads the log."""
    print(load.summary(), f"the loss took {lost - before:.1f} s")
    for each in load.failed:
        began, told = each.started - before, each.started + each.seconds - before
        print(f"caller {each.caller} began {began:.2f} s, told {told:.2f} s: {each.error or each.payload}")
