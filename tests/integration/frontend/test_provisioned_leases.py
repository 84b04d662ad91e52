"""Leases of provisioned environments: the frontend that is not the owner is as fast, and nothing else changes."""

import asyncio

import pytest
from tests.eventually import eventually
from tests.integration.frontend import patience
from tests.integration.frontend.publishing import SHOW, available, point, provision, publish, sample
from tests.integration.loopback import Cluster

from kubelambda.core.account import ownership
from kubelambda.frontend.frontend import Frontend

ADDRESSES = ("127.0.1.1", "127.0.1.2")
CODE = f"import time\nCODE = 1\n{SHOW.replace('names = (', 'time.sleep(event or 0); names = (')}"
INVOCATIONS = "kubelambda_provisioned_invocations_total"
SPILLOVERS = "kubelambda_spillover_invocations_total"
UTILIZATION = "kubelambda_provisioned_concurrency_utilization"


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    patience.long_leases(monkeypatch)
    patience.early_leases(monkeypatch)


async def live(cluster: Cluster) -> tuple[str, Frontend, str, Frontend]:
    """A function whose alias `live` has one provisioned environment; the owner of its account, and another frontend."""
    await publish(cluster, "f", 1, CODE)
    await point(cluster, "f", "live", "1", provisioned=1)
    (name,) = await provision(cluster, "f", 1, "live", 1)
    owner, other = ownership.ranked(cluster.namespace, ADDRESSES)
    owning = await cluster.frontend(owner, members=(owner, other))
    holding = await cluster.frontend(other, members=(owner, other))
    await eventually(lambda: available(owning, "live") == 1)
    pods = holding.caches.pods.items  # no lease is of use to who has not heard where the pod is
    await eventually(lambda: (pod := pods.get((cluster.namespace, name))) and pod.ready)
    return owner, owning, other, holding


def value(cluster: Cluster, frontend: Frontend, name: str) -> float:
    """A metric of the alias; what is counted, is by the version that ran."""
    labels = {"namespace": cluster.namespace, "function": "f", "qualifier": "live"}
    if name in (INVOCATIONS, SPILLOVERS):
        labels["version"] = "1"
    return sample(frontend.metrics.registry, name, labels) or 0.0


def forwards(frontend: Frontend) -> float:
    """Requests that a frontend passed on."""
    return frontend.metrics.registry.get_sample_value("kubelambda_forwards_total", {}) or 0.0


async def lease(cluster: Cluster, other: str, holding: Frontend) -> int:
    """Calls until the other frontend runs a call itself; how many that took."""
    calls = 0

    async def direct() -> bool:
        nonlocal calls
        before = forwards(holding)
        answer = await cluster.invoke("f:live", address=other)
        assert answer.json["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"
        calls += 1
        return forwards(holding) == before

    await eventually(direct)
    return calls


async def test_who_keeps_calling_an_alias_elsewhere_is_forwarded_no_more(cluster: Cluster) -> None:
    """Every invocation is counted as provisioned, once; none started an environment."""
    _, owning, other, holding = await live(cluster)
    for _ in range(100):
        answer = await cluster.invoke("f:live", address=other)
        assert answer.json["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"
    assert forwards(holding) < 50
    await eventually(lambda: value(cluster, owning, INVOCATIONS) == 100)
    assert value(cluster, owning, SPILLOVERS) == 0
    assert len(await cluster.pods()) == 1


async def test_an_idle_lease_makes_nobody_spill_over(cluster: Cluster) -> None:
    """By turns here and there, with an environment on demand that waits: each call gets the provisioned one."""
    owner, owning, other, holding = await live(cluster)
    await cluster.pool(1)
    on_demand = await cluster.invoke("f:1", address=owner)
    assert on_demand.json["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
    for _ in range(4):
        await lease(cluster, other, holding)
        answer = await cluster.invoke("f:live", address=owner)
        assert answer.json["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"
        await asyncio.sleep(1.2)  # the pause after a lease that was in the way
    assert value(cluster, owning, SPILLOVERS) == 0


async def test_who_names_the_version_gets_no_lease_of_what_is_provisioned(cluster: Cluster) -> None:
    """And who names the alias none of what is on demand."""
    _, _, other, holding = await live(cluster)
    await cluster.pool(1)
    await lease(cluster, other, holding)
    kinds = {"f:1": "on-demand", "f:live": "provisioned-concurrency"}
    for _ in range(20):
        for name, kind in kinds.items():
            assert (await cluster.invoke(name, address=other)).json["AWS_LAMBDA_INITIALIZATION_TYPE"] == kind


async def test_what_runs_on_a_lease_is_used_provisioned_concurrency(cluster: Cluster) -> None:
    """The owner's utilization says so once the lease is back."""
    _, owning, other, holding = await live(cluster)
    await lease(cluster, other, holding)
    await cluster.invoke("f:live", 1, address=other)
    await eventually(lambda: value(cluster, owning, UTILIZATION) > 0.5)
    await eventually(lambda: value(cluster, owning, UTILIZATION) == 0)
