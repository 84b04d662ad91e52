"""A frontend that has heard of functions and pods, and not yet of the other frontends: it owns nothing."""

import asyncio
from functools import partial

import pytest
from tests.eventually import eventually
from tests.integration.frontend import patience
from tests.integration.frontend.publishing import SHOW, available, initialized, point, provision, publish
from tests.integration.loopback import Cluster

from kubelambda.core.account import ownership
from kubelambda.core.invoke import waiting_room
from kubelambda.frontend.account import stray_collection
from kubelambda.frontend.frontend import Frontend
from kubelambda.kube.reflector import Name
from kubelambda.kube.resources import PODS

ADDRESSES = ("127.0.1.1", "127.0.1.2")
NEW = "127.0.1.3"
CODE = f"CODE = 1\n{SHOW}"


@pytest.fixture(autouse=True)
def _undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found by looking for strays, and no lease ends by itself."""
    monkeypatch.setattr(stray_collection, "INTERVAL_S", 3600.0)
    patience.long_leases(monkeypatch)
    patience.early_leases(monkeypatch)
    patience.idle_leases(monkeypatch)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests wait until the test has told what they wait for, however slow the machine is."""
    monkeypatch.setattr(waiting_room, "WAIT_S", 60.0)


def sample(frontend: Frontend, name: str, **labels: str) -> float:
    """A figure of a frontend; 0 when it has none."""
    return frontend.metrics.registry.get_sample_value(name, labels) or 0.0


def by_rank(cluster: Cluster) -> list[str]:
    """The owner of the test's namespace, and the other one of those that are known to be there."""
    return ownership.ranked(cluster.namespace, ADDRESSES)


async def live(cluster: Cluster) -> list[str]:
    """A function whose alias `live` has a pod to be provisioned in."""
    await publish(cluster, "f", 1, CODE)
    await point(cluster, "f", "live", "1", provisioned=1)
    return await provision(cluster, "f", 1, "live")


async def heard_of(cluster: Cluster, frontend: Frontend, pods: list[str]) -> None:
    """A frontend knows the alias, and its pods as ready."""
    caches = frontend.caches
    await eventually(lambda: caches.published.route((cluster.namespace, "f"), "live"))
    await eventually(
        lambda: all((pod := caches.pods.items.get((cluster.namespace, name))) and pod.ready for name in pods)
    )


async def news_of(cluster: Cluster, frontend: Frontend, pods: list[str]) -> None:
    """A frontend hears of pods once more."""
    for name in pods:
        changed = {"metadata": {"annotations": {"example.com/changed": "now"}}}
        version = (await cluster.client.patch(PODS, name, changed, cluster.namespace))["metadata"]["resourceVersion"]
        await eventually(partial(has_heard, frontend, (cluster.namespace, name), version))


def has_heard(frontend: Frontend, pod: Name, version: str) -> bool:
    """Whether a frontend knows a pod as it became with a change."""
    return int(frontend.caches.pods.items[pod].resource_version) >= int(version)


async def leased(cluster: Cluster) -> tuple[Frontend, list[str]]:
    """The frontend at `by_rank[1]`, which holds a lease of a provisioned environment, and the environment's pod."""
    pods = await live(cluster)
    owner, other = by_rank(cluster)
    owning = await cluster.frontend(owner, members=ADDRESSES)
    holding = await cluster.frontend(other, members=ADDRESSES)
    await eventually(lambda: available(owning, "live") == 1)
    await heard_of(cluster, holding, pods)
    assert await forwards(cluster, holding)
    while await forwards(cluster, holding):
        pass
    return holding, pods


async def forwards(cluster: Cluster, holding: Frontend) -> bool:
    """Whether a call was passed on to the owner, by a frontend that may hold a lease instead."""
    before = sample(holding, "kubelambda_forwards_total")
    answer = await cluster.invoke("f:live", address=by_rank(cluster)[1])
    assert answer.json["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"
    return sample(holding, "kubelambda_forwards_total") > before


async def test_who_starts_disturbs_no_owner(cluster: Cluster) -> None:
    """Leases of provisioned environments go on: these were told of no other owner."""
    holding, pods = await leased(cluster)
    starting = await cluster.frontend(NEW, members=None)
    await heard_of(cluster, starting, pods)
    await news_of(cluster, starting, pods)  # after those of everything else
    await asyncio.sleep(1)  # an environment is asked in some milliseconds
    assert not await forwards(cluster, holding)
    assert list(starting.owned) == []


async def test_who_owned_for_less_than_a_moment_disturbs_no_owner(cluster: Cluster) -> None:
    """Two things were heard at once, and the environment was not asked before the second."""
    holding, pods = await leased(cluster)
    starting = await cluster.frontend(NEW, members=None)
    await heard_of(cluster, starting, pods)
    cluster.members(starting, NEW)
    assert len(list(starting.owned)) == 1
    cluster.members(starting, *ADDRESSES)
    await asyncio.sleep(1)
    assert not await forwards(cluster, holding)


@pytest.mark.usefixtures("patient")
async def test_a_call_waits_until_it_is_known_who_runs_it(cluster: Cluster) -> None:
    """It runs once, where its account is owned: it was counted nowhere before."""
    owner = by_rank(cluster)[0]
    await cluster.function("echo", "def handler(event, context): return event")
    await cluster.pool(2)
    owning = await cluster.frontend(owner, members=ADDRESSES)
    starting = await cluster.frontend(NEW, members=None)
    await eventually(lambda: (cluster.namespace, "echo") in starting.caches.functions.items)
    calls = cluster.calls("echo", 2, 7, address=NEW)
    await eventually(lambda: len(starting._news) == 2)
    assert (starting.in_flight, owning.in_flight) == (0, 0)
    cluster.members(starting, *ADDRESSES)
    assert [answer.json for answer in await asyncio.gather(*calls)] == [7, 7]
    labels = {"namespace": cluster.namespace, "function": "echo"}
    assert sample(owning, "kubelambda_invocations_total", **labels) == 2
    assert list(starting.owned) == []


async def test_a_call_that_waits_in_vain_is_told_to_come_again(cluster: Cluster) -> None:
    """Nothing has begun to run for it."""
    await cluster.function("echo", "def handler(event, context): return event")
    await cluster.pool(1)
    starting = await cluster.frontend(members=None)
    await eventually(lambda: (cluster.namespace, "echo") in starting.caches.functions.items)
    answer = await cluster.invoke("echo")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert (list(starting.owned), len(await cluster.claimed_pods())) == ([], 0)


@pytest.mark.usefixtures("patient")
async def test_the_only_frontend_begins_once_it_is_listed_itself(cluster: Cluster) -> None:
    """That nobody is ready is no word of who owns what; from then on nothing waits for a look at strays."""
    pods = await live(cluster)
    alone = await cluster.frontend(members=None)
    cluster.members(alone)
    await eventually(lambda: alone.caches.published.route((cluster.namespace, "f"), "live"))
    call = cluster.calls("f:live", 1)[0]
    await eventually(lambda: len(alone._news) == 1)
    assert (alone.ready, list(alone.owned)) == (True, [])
    cluster.members(alone, "127.0.0.1")
    await eventually(lambda: initialized(cluster, pods))
    await eventually(lambda: available(alone, "live") == 1)
    assert (await call).status == 200


async def test_code_is_fetched_ahead_by_who_comes_to_own_it(cluster: Cluster) -> None:
    """Though it heard of the function before."""
    await cluster.function("echo", "def handler(event, context): return event")
    starting = await cluster.frontend(members=None)
    view = await eventually(lambda: starting.caches.functions.items.get((cluster.namespace, "echo")))
    assert view.deployed is not None
    (archive,) = view.deployed.archives
    assert archive.sha256 not in starting._archives._cache
    cluster.members(starting, "127.0.0.1")
    await eventually(lambda: archive.sha256 in starting._archives._cache)
