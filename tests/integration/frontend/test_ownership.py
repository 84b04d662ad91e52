"""Accounts that change hands between frontends: nothing is lost, counted twice or ended by who does not own it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.eventually import eventually
from tests.integration.frontend import patience
from tests.integration.frontend.gated import GATHERING, WAITING, begun, in_use_once_each
from tests.integration.loopback import Cluster, Relay

from kubelambda.api import limits
from kubelambda.core.account import ownership
from kubelambda.frontend.account import stray_collection
from kubelambda.frontend.frontend import Frontend
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import NAMESPACES

ECHO = "def handler(event, context): return event"
ADDRESSES = ("127.0.1.1", "127.0.1.2", "127.0.1.3")


def by_rank(cluster: Cluster, *addresses: str) -> list[str]:
    """Addresses in the order in which they own the test's namespace."""
    return ownership.ranked(cluster.namespace, addresses)


async def claimed(cluster: Cluster, count: int) -> bool:
    """Whether so many environments are some function's, as Kubernetes knows: a claim is told after the first answer."""
    return len(await cluster.claimed_pods()) == count


async def test_who_does_not_own_a_function_passes_its_calls_on_and_keeps_nothing(cluster: Cluster) -> None:
    """Even while the frontends see different members; and environments are ended by nobody but their owner."""
    owner, former, third = by_rank(cluster, *ADDRESSES)
    await cluster.function("echo", ECHO)
    await cluster.pool(2)
    late = await cluster.frontend(third, members=(former, third))  # it has not seen the new owner yet
    passing = await cluster.frontend(former, members=ADDRESSES, idle_timeout_seconds=1)
    owning = await cluster.frontend(owner, members=ADDRESSES)
    for n in range(5):
        assert (await cluster.invoke("echo", n, address=third)).json == n
    assert list(late.owned) == []
    assert list(passing.owned) == []
    assert len(list(owning.owned)) == 1
    await asyncio.sleep(3)  # longer than the idle timeout of who passed them on
    await eventually(lambda: claimed(cluster, 1))


async def test_views_that_disagree_for_long_end_in_an_error_and_not_in_a_circle(cluster: Cluster) -> None:
    """Two frontends that both take the other for the owner."""
    first, second = ADDRESSES[:2]
    await cluster.function("echo", ECHO)
    await cluster.frontend(first, members=(second,))
    await cluster.frontend(second, members=(first,))
    answer = await cluster.invoke("echo", address=first)
    assert answer.status == 500
    assert "do not agree" in answer.json["Message"]


async def test_calls_that_wait_go_to_the_new_owner(cluster: Cluster) -> None:
    """And the former one has nothing left to do, whatever its cluster could not start."""
    owner, former = by_rank(cluster, *ADDRESSES[:2])
    await cluster.function("echo", ECHO)
    cluster.agents.schedules = lambda pod: "kubelambda.dev/pool" in pod["metadata"]["labels"]
    leaving = await cluster.frontend(former, members=(former,))
    calls = cluster.calls("echo", 3, 1, address=former)
    await eventually(lambda: leaving.in_flight == 3)
    await cluster.frontend(owner, members=(owner,))
    cluster.members(leaving, owner, former)
    await eventually(lambda: leaving.in_flight == 0)
    await cluster.pool(3)
    assert [answer.json for answer in await asyncio.gather(*calls)] == [1, 1, 1]


async def test_a_drain_does_not_wait_for_environments_that_do_not_come(cluster: Cluster) -> None:
    """What waits goes to the frontend that stays, which is asked although Kubernetes still lists both."""
    first, second = by_rank(cluster, *ADDRESSES[:2])
    await cluster.function("echo", ECHO)
    cluster.agents.schedules = lambda pod: "kubelambda.dev/pool" in pod["metadata"]["labels"]
    leaving = await cluster.frontend(first, members=ADDRESSES[:2])
    await cluster.frontend(second, members=ADDRESSES[:2])
    calls = cluster.calls("echo", 2, 5, address=first)
    await eventually(lambda: leaving.in_flight == 2)
    leaving.drain()
    await eventually(lambda: leaving.in_flight == 0)
    await cluster.pool(2)
    assert [answer.json for answer in await asyncio.gather(*calls)] == [5, 5]


async def test_what_still_runs_after_a_move_has_its_deadline(cluster: Cluster, tmp_path: Path) -> None:
    """Its environment fell silent: the caller is answered all the same, and the former owner could end."""
    owner, former = by_rank(cluster, *ADDRESSES[:2])
    running = tmp_path / "running"
    await cluster.function(
        "stuck", f"import time\ndef handler(event, context): open({str(running)!r}, 'w'), time.sleep(600)", timeout=3
    )
    (pod,) = await cluster.pool(1)
    leaving = await cluster.frontend(former, members=(former,))
    (call,) = cluster.calls("stuck", 1, address=former)
    await eventually(running.exists)
    cluster.agents.freeze(pod)
    cluster.members(leaving, owner, former)
    assert all(dispatcher.released for dispatcher in leaving.owned)
    answer = await asyncio.wait_for(call, 90)
    assert "errorType" in answer.json
    await eventually(lambda: leaving.in_flight == 0)


async def test_an_owner_that_is_gone_is_passed_over_before_kubernetes_says_so(cluster: Cluster) -> None:
    """Nothing was sent to it yet: the next owner answers, and goes on doing so."""
    gone, stays = by_rank(cluster, *ADDRESSES[:2])
    await cluster.function("echo", ECHO)
    await cluster.pool(1)
    frontend = await cluster.frontend(stays, members=(gone, stays))
    for n in range(3):
        assert (await cluster.invoke("echo", n, address=stays)).json == n
    assert len(list(frontend.owned)) == 1


async def test_an_owner_that_says_nothing_any_more_costs_a_bounded_time(cluster: Cluster) -> None:
    """The event may have reached somebody: the answer is an error, and not silence."""
    silent, stays = by_rank(cluster, *ADDRESSES[:2])
    await cluster.function("echo", ECHO, timeout=1)
    await cluster.frontend(stays, members=(silent, stays), start_timeout_seconds=1)
    async with listening(cluster, silent):
        answer = await asyncio.wait_for(cluster.invoke("echo", address=stays), 90)
    assert answer.status == 500


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """An INIT lasts for as long as a test wants, and calls wait for environments to be adopted."""
    monkeypatch.setattr(limits, "INIT_TIMEOUT_S", 120.0)
    patience.long_adoption(monkeypatch)


def initializing(gate: Path) -> str:
    """A function whose INIT lasts until there is a file."""
    return f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.05)\n{ECHO}"


@pytest.mark.usefixtures("unhurried")
async def test_an_environment_in_its_init_is_adopted_when_that_ends(cluster: Cluster, tmp_path: Path) -> None:
    """The call that waited for it at the former owner is answered by it, and no second one is started."""
    owner, former = by_rank(cluster, *ADDRESSES[:2])
    gate = tmp_path / "gate"
    await cluster.function("slow", initializing(gate))
    await cluster.pool(2)
    leaving = await cluster.frontend(former, members=(former,))
    taking = await cluster.frontend(owner, members=(owner,))
    call = cluster.calls("slow", 1, 3, address=former)[0]
    await cluster.heard(taking, 1)
    cluster.members(leaving, owner, former)
    await eventually(lambda: taking.in_flight == 1)
    gate.touch()
    assert (await call).json == 3
    assert len(await cluster.claimed_pods()) == 1
    assert len(await cluster.pool_pods()) == 1


@pytest.mark.usefixtures("unhurried")
async def test_an_init_of_a_former_revision_goes_when_it_ends(
    cluster: Cluster, relay: Relay, relayed: KubeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes: nobody has to come across it later, and no caller waits for it."""
    monkeypatch.setattr(stray_collection, "INTERVAL_S", 3600.0)
    owner, former = by_rank(cluster, *ADDRESSES[:2])
    gate = tmp_path / "gate"
    await cluster.function("slow", initializing(gate), timeout=60)
    await cluster.pool(2)
    leaving = await cluster.frontend(former, members=(former,), client=relayed)
    taking = await cluster.frontend(owner, members=(owner,))
    call = cluster.calls("slow", 1, 3, address=former)[0]
    await eventually(lambda: claimed(cluster, 1))
    (old,) = await cluster.claimed_pods()
    await eventually(lambda: taking.caches.pods.items[cluster.namespace, old].function)
    relay.cut()  # the former owner hears of no update, and so starts, changes and ends nothing
    await cluster.function("slow", "def handler(event, context): return ['new', event]", revision="b" * 16, timeout=60)
    await eventually(lambda: seen(taking, cluster, "b" * 16))
    cluster.members(leaving, owner, former)
    assert (await call).json == ["new", 3]
    assert old in await cluster.claimed_pods()
    gate.touch()

    async def gone() -> bool:
        return old not in [pod["metadata"]["name"] for pod in await cluster.pods()]

    await eventually(gone)


@pytest.mark.usefixtures("unhurried")
async def test_what_still_runs_for_a_former_owner_counts_whatever_its_revision(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The function was updated meanwhile, and may run one at a time."""
    owner, former = by_rank(cluster, *ADDRESSES[:2])
    gate = tmp_path / "gate"
    await cluster.function("one", WAITING, reserved=1, timeout=60)
    await cluster.pool(2)
    leaving = await cluster.frontend(former, members=(former,))
    taking = await cluster.frontend(owner, members=(owner,))
    running = cluster.calls("one", 1, str(gate), address=former)[0]
    await cluster.heard(taking, 1)
    await eventually(lambda: begun(gate))
    await cluster.function("one", WAITING, reserved=1, timeout=60, revision="b" * 16)
    await eventually(lambda: seen(taking, cluster, "b" * 16))
    cluster.members(leaving, owner, former)
    answer = await cluster.invoke("one", address=former)
    assert (answer.status, answer.json["Reason"]) == (429, "ReservedFunctionConcurrentInvocationLimitExceeded")
    gate.touch()
    assert (await running).json == str(gate)

    async def free() -> bool:
        return (await cluster.invoke("one", address=former)).status == 200

    await eventually(free)


async def test_an_update_during_adoption_leaves_no_old_code(cluster: Cluster) -> None:
    """The environment is asked while the function still has the revision that it runs."""
    await cluster.function("code", "def handler(event, context): return 'old'")
    await cluster.pool(2)
    owner, former = by_rank(cluster, *ADDRESSES[:2])
    await cluster.frontend(former, members=(former,))
    assert (await cluster.invoke("code", address=former)).json == "old"
    await eventually(lambda: claimed(cluster, 1))
    (pod,) = await cluster.claimed_pods()
    taking = await cluster.frontend(owner, members=(owner,))
    process = cluster.agents.processes[pod]
    os.kill(process.pid, signal.SIGSTOP)  # it is slow to say what it is
    call = cluster.calls("code", 1, address=owner)[0]
    await asyncio.sleep(0.3)
    await cluster.function("code", "def handler(event, context): return 'new'", revision="b" * 16)
    await eventually(lambda: seen(taking, cluster, "b" * 16))
    os.kill(process.pid, signal.SIGCONT)
    assert (await call).json in ("old", "new")
    for _ in range(5):
        assert (await cluster.invoke("code", address=owner)).json == "new"


async def test_a_former_owner_says_nothing_of_how_a_function_is_now(cluster: Cluster) -> None:
    """Its gauges go; those of the new owner come."""
    owner, former = by_rank(cluster, *ADDRESSES[:2])
    await cluster.function("echo", ECHO)
    await cluster.pool(1)
    leaving = await cluster.frontend(former, members=(former,))
    taking = await cluster.frontend(owner, members=(owner,))
    await cluster.invoke("echo", address=former)
    await eventually(lambda: environments(leaving, cluster) == 1)
    await cluster.heard(taking, 1)
    cluster.members(leaving, owner, former)
    await cluster.invoke("echo", address=former)
    await eventually(lambda: environments(taking, cluster) == 1)
    await eventually(lambda: environments(leaving, cluster) is None)
    await asyncio.sleep(1.5)
    assert environments(leaving, cluster) is None


async def test_nodes_that_are_gone_without_a_word_cost_no_caller_the_timeout(cluster: Cluster, tmp_path: Path) -> None:
    """Kubernetes says not ready; the environments there are asked, and those that say nothing get no calls."""
    await cluster.function("slow", GATHERING, timeout=200)
    pods = await cluster.pool(3)
    await cluster.frontend()
    await in_use_once_each(cluster, "slow", 3, tmp_path / "calls")
    await eventually(lambda: claimed(cluster, 3))
    for pod in pods:
        cluster.agents.freeze(pod)
        await cluster.agents.report(pod, ready=False)

    async def gone() -> bool:
        return await cluster.claimed_pods() == []

    await eventually(gone)
    await cluster.pool(1)
    assert (await asyncio.wait_for(cluster.invoke("slow", 0), 90)).json == 0


async def test_a_call_that_comes_while_a_node_is_doubted_does_not_find_out_for_the_others(
    cluster: Cluster, tmp_path: Path
) -> None:
    """It is given to an environment that is there, not to the one that ran last and may be gone."""
    await cluster.function("slow", GATHERING, timeout=200)
    (first, second) = await cluster.pool(2)
    frontend = await cluster.frontend()
    await in_use_once_each(cluster, "slow", 2, tmp_path / "calls")
    await eventually(lambda: claimed(cluster, 2))
    (dispatcher,) = frontend.owned
    await eventually(lambda: len(dispatcher.placement.idle) == 2)
    number = dispatcher.placement.idle[-1].id
    last = dispatcher.environments[number].pod
    cluster.agents.freeze(last)
    await cluster.agents.report(last, ready=False)

    def doubted() -> bool:
        """Before it is known whether the environment is there."""
        return number in dispatcher.environments and len(dispatcher.placement.idle) == 1

    await eventually(doubted)
    assert (await asyncio.wait_for(cluster.invoke("slow", 0), 90)).json == 0

    async def known() -> bool:
        return await cluster.claimed_pods() == [first if last == second else second]

    await eventually(known)


async def test_a_namespace_whose_pods_find_no_place_is_in_nobody_elses_way(
    cluster: Cluster, client: KubeClient
) -> None:
    """It has as many starts waiting as it likes; another namespace's starts do not wait behind them."""
    other = f"{cluster.namespace}-other"
    await client.create(NAMESPACES, {"metadata": {"name": other}})
    await cluster.function("stuck", ECHO)
    cluster.agents.schedules = lambda _: False
    frontend = await cluster.frontend(concurrent_pod_creations=2)
    stuck = cluster.calls("stuck", 12)
    await eventually(lambda: frontend.in_flight == 12)
    async with cluster.beside(other) as neighbour:
        await neighbour.function("free", ECHO)
        account = await eventually(lambda: account_of(frontend, other))

        def deployed() -> bool:
            view = frontend.caches.functions.items.get((other, "free"))
            return view is not None and view.deployed is not None

        await eventually(deployed)
        assert (await cluster.invoke(f"{account}:function:free", 1)).json == 1
    for call in stuck:
        call.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)


def account_of(frontend: Frontend, namespace: str) -> str | None:
    """The account id that a frontend knows a namespace by."""
    found = frontend.caches.namespaces.items.get(("", namespace))
    return found.account_id if found else None


def environments(frontend: Frontend, cluster: Cluster) -> float | None:
    """The gauge of the test's function."""
    labels = {"namespace": cluster.namespace, "function": "echo"}
    return frontend.metrics.registry.get_sample_value("kubelambda_environments", labels)


def seen(frontend: Frontend, cluster: Cluster, revision: str) -> bool:
    """Whether a frontend knows that revision of the test's only function."""
    views = [view for (namespace, _), view in frontend.caches.functions.items.items() if namespace == cluster.namespace]
    return any(view.deployed is not None and view.deployed.revision == revision for view in views)


@asynccontextmanager
async def listening(cluster: Cluster, address: str) -> AsyncIterator[None]:
    """Something that takes connections and never says a word."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, address, cluster.port)
    try:
        yield
    finally:
        server.close()
