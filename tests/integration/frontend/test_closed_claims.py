"""Functions with a vpcConfig: no line of them runs in a pod before Kubernetes knows whose it is (real agents)."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.eventually import eventually
from tests.integration.frontend.publishing import point, publish
from tests.integration.loopback import Cluster
from tests.integration.processes import KEY

from kubelambda.api import environment_protocol, labels
from kubelambda.api.settings import Settings
from kubelambda.core.environment.shape import Shape
from kubelambda.frontend.cold_start import claiming, unclaimed_pods
from kubelambda.frontend.cold_start.archive_cache import Archives
from kubelambda.frontend.cold_start.specializer import AgentAddress, Specializer
from kubelambda.frontend.cold_start.start import Target, Watcher
from kubelambda.frontend.cold_start.variable_values import Variables
from kubelambda.frontend.frontend import Frontend
from kubelambda.kube import claim
from kubelambda.kube.claim import ClaimLost
from kubelambda.kube.errors import Conflict
from kubelambda.kube.resources import PODS
from kubelambda.resources import environment_pod as rendering

CLOSED = Shape(closed=True)
CODE = """
import os, pathlib
pathlib.Path({marks!r}, os.environ["LAMBDA_TASK_ROOT"].replace("/", "_")).touch()
def handler(event, context): return event
"""


def network(group: str) -> dict[str, Any]:
    """Of a function in one group."""
    return {"set": group.ljust(12, "0"), "subnets": ["a"], "securityGroups": [group]}


class Marks:
    """Where code of functions has run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    @property
    def code(self) -> str:
        """That of a function which says so with its first line."""
        return CODE.format(marks=str(self.folder))

    def of(self, pod: str) -> bool:
        """Whether any ran in a pod."""
        return any(re.search(rf"_{re.escape(pod)}_", each.name) for each in self.folder.iterdir())


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    """None yet."""
    return Marks(tmp_path / "marks")


class Gate:
    """Holds claims back, and says how they end."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.under_way: list[str] = []
        self.errors: list[Exception] = []
        """What the next claims end with, in place of being made."""

    async def claim(self, client: Any, namespace: str, pod: str, **named: Any) -> None:
        """In place of the real one."""
        self.under_way.append(pod)
        await self.open.wait()
        if self.errors:
            raise self.errors.pop(0)
        await claim.claim(client, namespace, pod, **named)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Closed."""
    found = Gate()
    real = claim.claim
    monkeypatch.setattr(claiming, "claim", found)
    monkeypatch.setattr(claiming, "_CLAIM_S", 120.0)  # the gate stays closed for as long as a test looks
    assert claim.claim is real
    return found


def unpacked(cluster: Cluster, pod: str) -> bool:
    """Whether the code of a function is there."""
    found = cluster.agents.folder / pod / "var/task/index.py"
    return found.exists() and not found.stat().st_mode & 0o222


@pytest.mark.parametrize("agents", ["new", "old"])
async def test_no_line_of_a_function_runs_before_its_pod_is_open(
    cluster: Cluster, gate: Gate, marks: Marks, agents: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that runs none of it goes on meanwhile, unless the agent is of a release that cannot wait."""
    if agents == "old":
        monkeypatch.setattr(environment_protocol, "PREPARE", "/unheard-of")
    await cluster.function("inside", marks.code, network=network("app"))
    (pod,) = await cluster.pool(1, CLOSED)
    await cluster.frontend()
    call = cluster.calls("inside", 1, 7)[0]
    await eventually(lambda: gate.under_way == [pod])
    if agents == "new":
        await eventually(lambda: unpacked(cluster, pod))
    await asyncio.sleep(0.3)
    assert not marks.of(pod)
    gate.open.set()
    assert (await call).json == 7
    assert marks.of(pod)
    (found,) = await cluster.pods()
    assert found["metadata"]["labels"][f"{labels.SECURITY_GROUP}/app"] == ""


@pytest.mark.parametrize("error", [ClaimLost("somebody was first"), Conflict(409, "no")], ids=["lost", "refused"])
async def test_a_claim_that_fails_costs_the_pod_and_not_the_call(
    cluster: Cluster, gate: Gate, marks: Marks, error: Exception
) -> None:
    """Nothing ran in it; it goes, and another one serves."""
    gate.errors.append(error)
    gate.open.set()
    await cluster.function("inside", marks.code, network=network("app"))
    await cluster.pool(2, CLOSED)
    await cluster.frontend()
    assert (await cluster.invoke("inside", 7)).json == 7
    assert len(gate.under_way) == 2
    failed, served = gate.under_way
    assert not marks.of(failed)
    assert marks.of(served)

    async def gone() -> bool:
        return [pod["metadata"]["name"] for pod in await cluster.pods()] == [served]

    await eventually(gone)


async def test_a_claim_that_takes_too_long_is_given_up(
    cluster: Cluster, gate: Gate, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever becomes of it later, the pod is on its way out, and nothing ran in it."""
    monkeypatch.setattr(claiming, "_CLAIM_S", 0.2)
    await cluster.function("inside", marks.code, network=network("app"))
    (pod,) = await cluster.pool(1, CLOSED)
    cluster.agents.schedules = lambda found: labels.POOL in found["metadata"]["labels"]
    await cluster.frontend()
    call = cluster.calls("inside", 1, 7)[0]

    async def gone() -> bool:
        return pod not in [each["metadata"]["name"] for each in await cluster.pods()]

    await eventually(gone)
    assert not marks.of(pod)
    gate.open.set()
    cluster.agents.schedules = lambda _: True
    assert (await call).json == 7


async def test_who_does_not_get_the_agent_opens_nothing(
    cluster: Cluster, marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod that another frontend has prepared stays closed, with no label of the function that it refused, or goes."""
    monkeypatch.setattr(claiming, "_POISONED_S", 0.5)
    await cluster.function("first", marks.code, network=network("front"))
    await cluster.function("second", marks.code, network=network("back"))
    (pod,) = await cluster.pool(1, CLOSED)
    frontend = await cluster.frontend()
    async with prepared(cluster, frontend, "first", pod):
        (other,) = await cluster.pool(1, CLOSED, seen_by=frontend)
        rank = {frontend.caches.pods.items[cluster.namespace, pod].uid: 0}
        monkeypatch.setattr(type(frontend._starter.held), "ranking", lambda *_: lambda uid: rank.get(uid, 1))
        written: list[str] = []
        patch = type(cluster.client).patch

        async def counted(self: Any, resource: Any, name: str, *arguments: Any, **named: Any) -> Any:
            if named.get("subresource") is None:
                written.append(name)
            return await patch(self, resource, name, *arguments, **named)

        monkeypatch.setattr(type(cluster.client), "patch", counted)
        assert (await cluster.invoke("second", 2)).json == 2
        assert marks.of(other)
        assert pod not in written

        async def gone() -> bool:
            return [each["metadata"]["name"] for each in await cluster.pods()] == [other]

        await eventually(gone)
        assert pod not in written
    assert not marks.of(pod)


async def test_each_version_has_the_network_that_it_was_published_with(cluster: Cluster) -> None:
    """Whatever its function has now; an alias of two versions leads into two networks, and each pod is in one."""
    code = "def handler(event, context): return context.function_version"
    await publish(cluster, "moved", 1, code, network=network("back"))
    await publish(cluster, "moved", 2, code, network=network("middle"))
    await cluster.function("moved", code, revision="f" * 16, network=network("front"))
    await point(cluster, "moved", "live", "1", weights={"2": 0.5})
    await cluster.pool(3, CLOSED)
    await cluster.frontend()
    called = [(await cluster.invoke("moved")).json]
    while {"1", "2"} - set(called):
        called.append((await cluster.invoke("moved:live")).json)
        assert len(called) < 200
    # Those of versions: what was opened ahead of the next start, a second after the first one, is still nobody's.
    of_pods = [pod["metadata"]["labels"] for pod in await cluster.pods()]
    found = {
        of_pod[labels.FUNCTION_VERSION]: {
            name.rpartition("/")[2] for name in of_pod if name.startswith(labels.SECURITY_GROUP)
        }
        for of_pod in of_pods
        if labels.FUNCTION_VERSION in of_pod
    }
    assert found == {"latest": {"front"}, "1": {"back"}, "2": {"middle"}}


async def test_a_pod_with_the_labels_of_a_function_that_it_refused_goes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim arrived although the agent refused it, and the agent does not say whose it is: nobody knows but us."""
    monkeypatch.setattr(unclaimed_pods, "_QUESTIONS", 1)
    await cluster.function("echo", "def handler(event, context): return event")
    (pod,) = await cluster.pool(1)
    frontend = await cluster.frontend()
    found = await eventually(lambda: frontend.caches.pods.items.get((cluster.namespace, pod)))
    view = frontend.caches.functions.items[cluster.namespace, "echo"]
    assert view.deployed is not None
    cluster.agents.freeze(pod)
    metadata = {
        "labels": rendering.function_labels("echo", view.uid, view.deployed),
        "ownerReferences": [rendering.owner_reference("echo", view.uid)],
    }
    await cluster.client.patch(PODS, pod, {"metadata": metadata}, cluster.namespace)
    frontend._starter.unclaimed.look(cluster.namespace, pod, found, view.uid)

    async def going() -> bool:
        return await cluster.pods() == []

    await eventually(going)


@asynccontextmanager
async def prepared(cluster: Cluster, frontend: Frontend, function: str, pod: str) -> AsyncIterator[None]:
    """A pod that a frontend has told its function, and has not told Kubernetes of."""
    view = frontend.caches.functions.items[cluster.namespace, function]
    found = await eventually(lambda: frontend.caches.pods.items.get((cluster.namespace, pod)))
    assert view.deployed is not None
    target = Target(cluster.namespace, function, view.uid, "1" * 12, view.deployed)
    specializer = Specializer(Archives(cluster.store), Variables(cluster.client), KEY, Settings())
    watcher = Watcher(begin=lambda: True, lost=lambda _: None, claim_lost=lambda: None, misplaced=lambda: None)
    address = AgentAddress(pod, found.uid, found.ip)
    handed = await specializer.hand_over(target, await specializer.prepare(target), address, watcher)
    yield
    handed.give_up()
