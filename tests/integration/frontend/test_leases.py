"""Leases between real frontends: fewer hops, and every limit as exact as without them."""

import asyncio
import itertools
import json
from functools import partial
from pathlib import Path

import pytest
from tests.answer import Answer
from tests.eventually import eventually
from tests.integration.frontend import patience
from tests.integration.frontend.gated import WAITING, begun
from tests.integration.loopback import Cluster
from tests.integration.processes import KEY

from kubelambda.api import environment_protocol
from kubelambda.core.account import ownership
from kubelambda.core.environment import tokens
from kubelambda.frontend.account import stray_collection
from kubelambda.frontend.cold_start.agent_state import agent_state
from kubelambda.frontend.frontend import Frontend
from kubelambda.wire.client import connect

ADDRESSES = ("127.0.1.1", "127.0.1.2", "127.0.1.3")
ECHO = "def handler(event, context): return event"
RECORDING = """
import json, os, time
def handler(event, context):
    began = time.monotonic()
    time.sleep(event["seconds"])
    with open(event["file"], "a") as file:
        line = json.dumps([os.getpid(), began, time.monotonic(), context.aws_request_id])
        file.write(line + chr(10))
    return "ran"
"""


def sample(frontend: Frontend, name: str, **labels: str) -> float:
    """A figure of a frontend; 0 when it has none."""
    return frontend.metrics.registry.get_sample_value(name, labels) or 0.0


def forwards(frontend: Frontend) -> float:
    """Requests that a frontend passed on."""
    return sample(frontend, "kubelambda_forwards_total")


@pytest.fixture(autouse=True)
def _early(monkeypatch: pytest.MonkeyPatch) -> None:
    patience.early_leases(monkeypatch)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No lease is over before a test has seen what it is about."""
    patience.long_leases(monkeypatch)


async def two(cluster: Cluster) -> tuple[str, Frontend, str, Frontend]:
    """Two frontends: the owner of the namespace and its address, and the other one."""
    owner, other = ownership.ranked(cluster.namespace, ADDRESSES[:2])
    owning = await cluster.frontend(owner, members=(owner, other))
    holding = await cluster.frontend(other, members=(owner, other))
    return owner, owning, other, holding


async def lease(cluster: Cluster, name: str, event: object, other: str, holding: Frontend) -> None:
    """Calls until the other frontend holds a lease and runs a call itself."""

    async def direct() -> bool:
        before = forwards(holding)
        answer = await cluster.invoke(name, event, address=other)
        assert answer.status == 200, answer.body
        return forwards(holding) == before

    await eventually(direct)


async def runs_on_a_lease(
    cluster: Cluster, name: str, folder: Path, other: str, holding: Frontend
) -> "tuple[asyncio.Task[Answer], Path]":
    """A call of `WAITING` that runs on a lease of the other frontend, and the file that it waits for."""
    for number in itertools.count():
        await lease(cluster, name, None, other, holding)
        gate, before = folder / f"gate-{number}", forwards(holding)
        call = cluster.calls(name, 1, str(gate), address=other)[0]
        await eventually(partial(begun, gate))
        if forwards(holding) == before:
            return call, gate
        gate.touch()  # the lease had lapsed by then
        assert (await call).status == 200
    raise AssertionError


async def test_who_keeps_forwarding_gets_leases_and_forwards_no_more(cluster: Cluster) -> None:
    """And every invocation is counted once, by whoever ran it."""
    await cluster.function("echo", ECHO)
    await cluster.pool(1)
    _, owning, other, holding = await two(cluster)
    for n in range(100):
        assert (await cluster.invoke("echo", n, address=other)).json == n
    assert forwards(holding) < 50
    labels = {"namespace": cluster.namespace, "function": "echo"}
    for name in ("kubelambda_invocations_total", "kubelambda_duration_seconds_count"):
        assert sample(owning, name, **labels) + sample(holding, name, **labels) == 100
    assert sample(holding, "kubelambda_invocations_total", **labels) == 100 - forwards(holding)
    assert sample(owning, "kubelambda_billed_gb_seconds_total", **labels) > 0
    assert sample(holding, "kubelambda_billed_gb_seconds_total", **labels) > 0
    assert len(await eventually(cluster.claimed_pods)) == 1
    await eventually(lambda: owning.in_flight == 0)


async def test_a_lease_is_in_flight_where_it_is_used(cluster: Cluster, tmp_path: Path) -> None:
    """An idle one nowhere: ConcurrentExecutions are invocations."""
    await cluster.function("slow", WAITING, timeout=60)
    await cluster.pool(1)
    _, owning, other, holding = await two(cluster)
    call, gate = await runs_on_a_lease(cluster, "slow", tmp_path, other, holding)
    labels = {"namespace": cluster.namespace, "function": "slow"}
    await eventually(lambda: sample(holding, "kubelambda_concurrent_executions", **labels) == 1)
    account = {"namespace": cluster.namespace}
    assert sample(holding, "kubelambda_unreserved_concurrent_executions", **account) == 1
    await eventually(lambda: sample(owning, "kubelambda_concurrent_executions", **labels) == 0)
    assert sample(owning, "kubelambda_unreserved_concurrent_executions", **account) == 0
    gate.touch()
    assert (await call).json == str(gate)
    await eventually(lambda: sample(holding, "kubelambda_concurrent_executions", **labels) == 0)


@pytest.mark.usefixtures("unhurried")
async def test_an_idle_lease_keeps_nobody_from_the_last_unit(cluster: Cluster) -> None:
    """A function that may run one at a time, called by turns here and there: no call is throttled."""
    await cluster.function("one", ECHO, reserved=1)
    await cluster.pool(1)
    owner, _, other, holding = await two(cluster)
    for n in range(5):
        await lease(cluster, "one", n, other, holding)
        answer = await cluster.invoke("one", n, address=owner)
        assert (answer.status, answer.json) == (200, n)
        await asyncio.sleep(1.2)  # the request rate of one unit, and the pause after a lease that was in the way


@pytest.mark.usefixtures("unhurried")
async def test_a_lease_in_use_is_a_unit_in_flight(cluster: Cluster, tmp_path: Path) -> None:
    """Whoever asks gets the 429 that is due, and once it is over its unit is free before its caller knows."""
    await cluster.function("one", WAITING, reserved=1, timeout=60)
    await cluster.pool(1)
    owner, _, other, holding = await two(cluster)
    running, gate = await runs_on_a_lease(cluster, "one", tmp_path, other, holding)
    before = forwards(holding)
    for address in (owner, other):
        answer = await cluster.invoke("one", address=address)
        assert (answer.status, answer.json["Reason"]) == (429, "ReservedFunctionConcurrentInvocationLimitExceeded")
    gate.touch()
    assert (await running).json == str(gate)
    assert forwards(holding) == before + 1, "who asked there was to be passed on, and nobody else"
    assert (await cluster.invoke("one", address=owner)).status == 200


@pytest.mark.usefixtures("unhurried")
async def test_reserved_concurrency_is_exact_under_load_on_both_sides(cluster: Cluster, tmp_path: Path) -> None:
    """Three at a time, never four, and never two in one environment; each call runs once, or is throttled."""
    await cluster.function("three", RECORDING, reserved=3)
    await cluster.pool(3)
    owner, owning, other, holding = await two(cluster)
    file = tmp_path / "runs"
    file.touch()
    event = {"seconds": 0.01, "file": str(file)}

    async def caller(address: str, count: int) -> list[Answer]:
        return [await cluster.invoke("three", event, address=address) for _ in range(count)]

    # There is a lease when the load begins; under it, who is throttled takes the rate that another one would need.
    await lease(cluster, "three", {"seconds": 0, "file": "/dev/null"}, other, holding)
    before = [ran_here(found, cluster) for found in (owning, holding)]
    answers: list[Answer] = []
    for here, there in ((0, 2), (1, 2), (3, 3), (0, 3)):  # within the limit, at it, far above it, and back
        turns = [caller(owner, 30) for _ in range(here)] + [caller(other, 30) for _ in range(there)]
        found = [answer for turn in await asyncio.gather(*turns) for answer in turn]
        if here + there <= 3:
            assert {answer.status for answer in found} == {200} or {
                answer.json.get("Reason") for answer in found if answer.status == 429
            } == {"ReservedFunctionInvocationRateLimitExceeded"}
        answers += found
    runs = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(runs) == len({run[3] for run in runs}) == sum(answer.status == 200 for answer in answers)
    assert most_at_once([(run[1], run[2]) for run in runs]) <= 3
    for process in {run[0] for run in runs}:
        assert most_at_once([(run[1], run[2]) for run in runs if run[0] == process]) == 1
    ran = [ran_here(found, cluster) for found in (owning, holding)]
    assert sum(ran) - sum(before) == len(runs)
    assert ran[1] > before[1], "nothing ran on a lease"
    await eventually(lambda: owning.in_flight == holding.in_flight == 0)


async def test_an_update_reaches_who_holds_a_lease(cluster: Cluster) -> None:
    """No old code runs once both have seen the new one."""
    await cluster.function("code", "def handler(event, context): return 'old'")
    await cluster.pool(2)
    _, owning, other, holding = await two(cluster)
    await lease(cluster, "code", None, other, holding)
    await cluster.function("code", "def handler(event, context): return 'new'", revision="b" * 16)
    await eventually(lambda: all(revision(each, cluster, "code") == "b" * 16 for each in (owning, holding)))
    for _ in range(5):
        assert (await cluster.invoke("code", address=other)).json == "new"


async def test_a_holder_that_is_gone_takes_no_unit_with_it(cluster: Cluster) -> None:
    """Its lease lapses, and its environment says that it runs nothing: the same one takes the next call."""
    await cluster.function("one", ECHO, reserved=1)
    await cluster.pool(1)
    owner, _, other, holding = await two(cluster)
    await lease(cluster, "one", 1, other, holding)
    pods = await eventually(cluster.claimed_pods)
    await cluster.crash(other)

    async def served() -> bool:
        return (await cluster.invoke("one", 2, address=owner)).status == 200

    await eventually(served)
    assert await cluster.claimed_pods() == pods


@pytest.mark.usefixtures("unhurried")
async def test_an_environment_that_an_heir_has_taken_over_is_not_taken_from_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The former owner does not know of it yet, hears that its lease was refused, and leaves the pod alone."""
    monkeypatch.setattr(stray_collection, "INTERVAL_S", 0.5)
    patience.idle_leases(monkeypatch)
    await cluster.function("echo", ECHO)
    (name,) = await cluster.pool(1)
    owner, owning, other, holding = await two(cluster)
    await lease(cluster, "echo", 1, other, holding)
    await cluster.pool(1)
    (dispatcher,) = owning.owned
    (uid,) = [found.uid for found in dispatcher.environments.values()]
    pod = owning.caches.pods.items[cluster.namespace, name]
    connection = await connect(pod.ip, environment_protocol.CONTROL_PORT, lambda _: None)
    await agent_state(connection, pod.ip, tokens.environment_token(KEY, uid), term="the heir's")
    connection.close()
    assert (await cluster.invoke("echo", 2, address=other)).json == 2
    await eventually(lambda: dispatcher.environments.of_pod(uid))  # it looked for what it does not know
    (found,) = [found for found in await cluster.pods() if found["metadata"]["uid"] == uid]
    assert "deletionTimestamp" not in found["metadata"]
    assert (await cluster.invoke("echo", 3, address=owner)).json == 3


async def test_leases_of_an_owner_that_is_gone_end_where_another_takes_over(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its environments are adopted, and who holds a lease of one is refused there, and served all the same."""
    patience.long_adoption(monkeypatch)
    await cluster.function("slow", WAITING, reserved=2, timeout=60)
    await cluster.pool(2)
    first, second, third = ownership.ranked(cluster.namespace, ADDRESSES)
    await cluster.frontend(first, members=ADDRESSES)
    heir = await cluster.frontend(second, members=ADDRESSES)
    holding = await cluster.frontend(third, members=ADDRESSES)
    running, gate = await runs_on_a_lease(cluster, "slow", tmp_path, third, holding)
    await cluster.heard(heir, 1)
    await cluster.crash(first)
    cluster.members(heir, second, third)
    others = cluster.calls("slow", 2, str(gate), address=second)
    refused, _ = await asyncio.wait(others, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    assert [call.result().status for call in refused] == [429], "what runs for the former owner counts"
    gate.touch()
    assert sorted([answer.status for answer in await asyncio.gather(*others)]) == [200, 429]
    assert (await running).json == str(gate)
    cluster.members(holding, second, third)
    assert (await cluster.invoke("slow", address=third)).status == 200


async def test_without_leases_every_call_is_forwarded(cluster: Cluster) -> None:
    """The switch."""
    cluster.settings = {"leases": {"enabled": False}}
    await cluster.function("echo", ECHO)
    await cluster.pool(1)
    _, _, other, holding = await two(cluster)
    for n in range(20):
        assert (await cluster.invoke("echo", n, address=other)).json == n
    assert forwards(holding) == 20


def ran_here(frontend: Frontend, cluster: Cluster) -> float:
    """Invocations of `three` that a frontend ran."""
    return sample(frontend, "kubelambda_invocations_total", namespace=cluster.namespace, function="three")


def revision(frontend: Frontend, cluster: Cluster, name: str) -> str | None:
    """What a frontend believes a function to run."""
    view = frontend.caches.functions.items.get((cluster.namespace, name))
    return view.deployed.revision if view is not None and view.deployed is not None else None


def most_at_once(spans: list[tuple[float, float]]) -> int:
    """How many of them overlap at most."""
    edges = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
    most = running = 0
    for _, change in edges:
        running += change
        most = max(most, running)
    return most
