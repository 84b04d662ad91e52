"""Provisioned environments: initialized before anybody calls, and kept for whom they are (§5.4-5.8)."""

import asyncio
from pathlib import Path

import pytest
from tests.eventually import eventually
from tests.integration.frontend.gated import WAITING
from tests.integration.frontend.publishing import (
    GATED,
    SHOW,
    available,
    delete,
    init_failures,
    initialized,
    point,
    provision,
    publish,
    sample,
)
from tests.integration.loopback import Cluster

from kubelambda.core.account import ownership
from kubelambda.core.environment import start_backoff
from kubelambda.frontend.frontend import Frontend
from kubelambda.kube.resources import ALIASES, PODS, SECRETS

CODE = f"CODE = 1\n{SHOW}"
SLOW = "import time\ndef handler(event, context): time.sleep(1)"
BROKEN = "raise RuntimeError('no luck')"
INVOCATIONS = "kubelambda_provisioned_invocations_total"
SPILLOVERS = "kubelambda_spillover_invocations_total"
ALLOCATED = "kubelambda_provisioned_concurrency_allocated"
AVAILABLE = "kubelambda_provisioned_concurrency_available"
UTILIZATION = "kubelambda_provisioned_concurrency_utilization"


async def live(cluster: Cluster, source: str = CODE, *, units: int = 1, **deployed: object) -> Frontend:
    """A function whose alias `live` has provisioned environments, all of them ready."""
    await publish(cluster, "f", 1, source, **deployed)
    await point(cluster, "f", "live", "1", provisioned=units)
    names = await provision(cluster, "f", 1, "live", units)
    frontend = await cluster.frontend()
    await eventually(lambda: initialized(cluster, names))
    await eventually(lambda: available(frontend, "live") == units)
    return frontend


def value(cluster: Cluster, frontend: Frontend, name: str, version: str = "1") -> float | None:
    """A metric of the alias; what is counted, is by the version that ran."""
    labels = {"namespace": cluster.namespace, "function": "f", "qualifier": "live"}
    if name in (INVOCATIONS, SPILLOVERS):
        labels["version"] = version
    return sample(frontend.metrics.registry, name, labels)


async def test_the_first_caller_finds_a_provisioned_environment(cluster: Cluster) -> None:
    """Which says of itself what it is; no other environment is started for it."""
    frontend = await live(cluster)
    answer = await cluster.invoke("f:live")
    assert answer.status == 200
    assert answer.json["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"
    assert answer.headers["X-Amz-Executed-Version"] == "1"
    assert len(await cluster.pods()) == 1
    assert value(cluster, frontend, INVOCATIONS) == 1
    await eventually(lambda: value(cluster, frontend, AVAILABLE) == 1)
    assert value(cluster, frontend, ALLOCATED) == 1
    assert value(cluster, frontend, SPILLOVERS) == 0


async def test_it_is_for_the_callers_of_its_alias_alone(cluster: Cluster, tmp_path: Path) -> None:
    """Who names the version gets an environment on demand, and so does who comes beyond the provisioned number."""
    gate = tmp_path / "gate"
    frontend = await live(cluster, f"CODE = 1\n{GATED}", timeout=60)
    await cluster.pool(2)
    by_number = await cluster.invoke("f:1")
    assert by_number.json["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
    assert value(cluster, frontend, SPILLOVERS) in (None, 0)
    calls = cluster.calls("f:live", 2, str(gate))
    await eventually(lambda: len(list(tmp_path.glob("gate.*"))) == 2)
    gate.touch()
    answers = await asyncio.gather(*calls)
    kinds = {answer.json["AWS_LAMBDA_INITIALIZATION_TYPE"] for answer in answers}
    assert kinds == {"provisioned-concurrency", "on-demand"}
    assert value(cluster, frontend, INVOCATIONS) == 1
    assert value(cluster, frontend, SPILLOVERS) == 1


async def test_with_everything_provisioned_all_others_are_throttled(cluster: Cluster) -> None:
    """Provisioned concurrency is a part of the reservation (§5.8)."""
    await live(cluster, SLOW, reserved=1)
    throttled = await cluster.invoke("f")
    assert throttled.json["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert (await cluster.invoke("f:live")).status == 200


async def test_one_whose_init_fails_says_so_and_is_never_ready(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes, and its successors try more and more rarely: after some that failed, one waits and says why."""
    monkeypatch.setattr(start_backoff, "_PAUSE_S", 600.0)
    monkeypatch.setattr(start_backoff, "PAUSE_MAX_S", 600.0)
    await publish(cluster, "f", 1, BROKEN)
    await point(cluster, "f", "live", "1", provisioned=1)
    await cluster.frontend()
    for _ in range(3):
        (name,) = await provision(cluster, "f", 1, "live")

        async def gone(name: str = name) -> bool:
            return name not in [pod["metadata"]["name"] for pod in await cluster.pods()]

        await eventually(gone)
    expected = ["RuntimeError: no luck"]

    async def said() -> bool:
        if not await cluster.pods():  # an agent that did not answer in time costs its pod, and is no failure of INIT
            await provision(cluster, "f", 1, "live")
        return await init_failures(cluster) == expected

    await eventually(said)


async def test_a_variable_that_is_missing_is_said_at_the_pod_and_forgotten_once_it_is_there(cluster: Cluster) -> None:
    """The same pod is initialized then: nothing was wrong with it."""
    reference = {"name": "TOKEN", "secretKeyRef": {"name": "api", "key": "token"}}
    await publish(cluster, "f", 1, CODE, environment={"from": [reference]})
    await point(cluster, "f", "live", "1", provisioned=1)
    (name,) = await provision(cluster, "f", 1, "live")
    await cluster.frontend()

    async def said() -> bool:
        return any("Secret api does not exist" in failure for failure in await init_failures(cluster))

    await eventually(said)
    secret = {"metadata": {"name": "api"}, "stringData": {"token": "x"}}
    await cluster.client.create(SECRETS, secret, cluster.namespace)
    await eventually(lambda: initialized(cluster, [name]))

    async def forgotten() -> bool:
        return not await init_failures(cluster)

    await eventually(forgotten)


async def test_a_move_of_the_alias_starts_nothing_on_demand(cluster: Cluster) -> None:
    """The new version's environments are there before callers are, and the old ones end without a word."""
    frontend = await live(cluster)
    await publish(cluster, "f", 2, CODE.replace("CODE = 1", "CODE = 2"))
    new = await provision(cluster, "f", 2, "live")
    await eventually(lambda: initialized(cluster, new))
    await eventually(lambda: available(frontend, "live", "2") == 1)
    old = [pod["metadata"]["name"] for pod in await cluster.pods() if pod["metadata"]["name"] not in new]
    await point(cluster, "f", "live", "2", provisioned=1)

    async def moved() -> bool:
        return bool((await cluster.invoke("f:live")).json["code"] == 2)

    await eventually(moved)
    await cluster.client.delete(PODS, old[0], cluster.namespace)
    for _ in range(5):
        assert (await cluster.invoke("f:live")).json["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"
    assert len(await cluster.claimed_pods()) == 1
    assert not value(cluster, frontend, SPILLOVERS, "2")
    assert (value(cluster, frontend, INVOCATIONS, "2") or 0) >= 5
    await eventually(lambda: value(cluster, frontend, INVOCATIONS, "1") is None)


async def test_the_next_owner_takes_provisioned_environments_over(cluster: Cluster) -> None:
    """As what they are: it starts none of its own."""
    first = await live(cluster)
    assert (await cluster.invoke("f:live")).status == 200
    second = await cluster.frontend("127.0.0.2", members=("127.0.0.2",))
    cluster.members(first, "127.0.0.2")
    await eventually(lambda: available(second, "live") == 1)
    for address in ("127.0.0.1", "127.0.0.2"):
        answer = await cluster.invoke("f:live", address=address)
        assert answer.json["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"
    assert len(await cluster.pods()) == 1
    assert value(cluster, second, INVOCATIONS) == 2
    await eventually(lambda: value(cluster, first, ALLOCATED) is None)


async def test_the_series_of_an_alias_go_with_it(cluster: Cluster) -> None:
    """And what was kept for it is everybody's again."""
    frontend = await live(cluster, reserved=1)
    assert (await cluster.invoke("f:live")).status == 200
    await eventually(lambda: value(cluster, frontend, UTILIZATION) is not None)
    await delete(cluster, ALIASES, "f-live")
    for name in (UTILIZATION, ALLOCATED, AVAILABLE, INVOCATIONS, SPILLOVERS):
        await eventually(lambda name=name: value(cluster, frontend, name) is None)  # type: ignore[misc]
    await cluster.pool(1)
    assert (await cluster.invoke("f")).status == 200


async def test_a_lost_provisioned_environment_is_replaced_by_kubernetes_alone(cluster: Cluster) -> None:
    """Its alias is served on demand meanwhile, within what was promised to it."""
    frontend = await live(cluster, reserved=1)
    (lost,) = [pod["metadata"]["name"] for pod in await cluster.pods()]
    cluster.agents.end(lost)
    await eventually(lambda: value(cluster, frontend, AVAILABLE) == 0)
    await cluster.pool(1)
    assert (await cluster.invoke("f:live")).json["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
    successor = await provision(cluster, "f", 1, "live")
    await eventually(lambda: initialized(cluster, successor))
    await eventually(lambda: available(frontend, "live") == 1)
    assert (await cluster.invoke("f:live")).json["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"


async def test_accounts_say_what_is_claimed(cluster: Cluster, tmp_path: Path) -> None:
    """Reserved, provisioned, and in flight of all others."""
    frontend = await live(cluster, units=2)
    await publish(cluster, "g", 1, SLOW, reserved=5)
    registry, labels = frontend.metrics.registry, {"namespace": cluster.namespace}
    await eventually(lambda: sample(registry, "kubelambda_claimed_account_concurrency", labels) == 7)
    await cluster.pool(1)
    gate = tmp_path / "gate"
    await publish(cluster, "h", 1, WAITING, timeout=60)
    call = cluster.calls("h", 1, str(gate))[0]
    await eventually(lambda: sample(registry, "kubelambda_claimed_account_concurrency", labels) == 8)
    assert sample(registry, "kubelambda_unreserved_concurrent_executions", labels) == 1
    gate.touch()
    await call


async def test_whoever_takes_over_amid_an_init_waits_for_it(cluster: Cluster, tmp_path: Path) -> None:
    """The environment that the former owner initializes is adopted once it is done; it was deleted before."""
    owner, former = ownership.ranked(cluster.namespace, ("127.0.1.1", "127.0.1.2"))
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    says = f"import os, time\nopen({str(begun)!r}, 'w').close()\n"
    waits = f"while not os.path.exists({str(gate)!r}): time.sleep(0.02)\n"
    await publish(cluster, "f", 1, says + waits + CODE)
    await point(cluster, "f", "live", "1", provisioned=1)
    names = await provision(cluster, "f", 1, "live")
    leaving = await cluster.frontend(former, members=(former,))
    await eventually(begun.exists)
    taking = await cluster.frontend(owner, members=(owner, former))
    cluster.members(leaving, owner, former)
    gate.touch()
    await eventually(lambda: initialized(cluster, names))
    await eventually(lambda: available(taking, "live") == 1)
    assert [pod["metadata"]["name"] for pod in await cluster.pods()] == names
    answer = await cluster.invoke("f:live", address=owner)
    assert answer.json["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"
