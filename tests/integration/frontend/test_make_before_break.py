"""Provisioned aliases with the real operator and real frontends; a ReplicaSet's part is played here."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.eventually import eventually
from tests.integration.frontend.moving_alias import Callers, point, publish, serving, told
from tests.integration.frontend.publishing import GATED, SHOW
from tests.integration.loopback import Cluster
from tests.integration.processes import Installation
from tests.integration.replica_sets import ReplicaSets, cost, is_ready

from kubelambda.api import labels
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import PODS, RUNTIMES


@pytest.fixture(scope="module")
def operated(store_running: Installation) -> Iterator[Installation]:
    """An installation whose operator runs too."""
    operator, _ = store_running.operator()
    yield store_running
    operator.stop()


@pytest.fixture
def replica_sets(cluster: Cluster) -> ReplicaSets:
    """A ReplicaSet controller."""
    return ReplicaSets(cluster)


@pytest.fixture
async def whole(operated: Installation, cluster: Cluster, replica_sets: ReplicaSets) -> AsyncIterator[Cluster]:
    """A namespace in which Deployments have pods."""
    task = asyncio.create_task(replica_sets.run())
    yield cluster
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_alias_moves_once_its_new_environments_are_there(whole: Cluster) -> None:
    """No caller ever gets an error or an environment on demand; a version that cannot start never gets callers."""
    await publish(whole, 1, f"CODE = 1\n{SHOW}")
    await point(whole, 1)
    frontend = await whole.frontend()
    await serving(whole, frontend, 1)
    seen: Counter[tuple[int, str, int]] = Counter()
    stopped = False

    async def call() -> None:
        while not stopped:
            answer = await whole.invoke("f:live")
            found = answer.json
            seen[answer.status, found.get("AWS_LAMBDA_INITIALIZATION_TYPE"), found.get("code")] += 1
            await asyncio.sleep(0.02)

    caller = asyncio.create_task(call())
    await publish(whole, 2, f"CODE = 2\n{SHOW}")
    await point(whole, 2)
    status = await told(whole, 2, "READY")
    assert status["routedVersion"] == "2"
    await eventually(lambda: any(code == 2 for _, _, code in seen))
    await publish(whole, 3, "raise RuntimeError('no luck')")
    await point(whole, 3)
    status = await told(whole, 3, "FAILED")
    assert status["provisionedConcurrency"]["statusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
    assert status["routedVersion"] == "2"
    stopped = True
    await caller
    assert {(answered, kind) for answered, kind, _ in seen} == {(200, "provisioned-concurrency")}, seen
    assert {code for _, _, code in seen} == {1, 2}


async def test_a_new_image_of_the_runtime_is_there_before_the_old_one_goes(whole: Cluster) -> None:
    """The version is the same one, its environments are others in the end; no caller notices."""
    spec: Object = {"image": "localhost/python:1", "prestart": "python", "inlineFileName": "index.py"}
    runtime: Object = {"apiVersion": RUNTIMES.api_version, "kind": "Runtime", "metadata": {"name": "renewed"}}
    await whole.client.apply(RUNTIMES, runtime | {"spec": spec}, manager="user")
    await publish(whole, 1, f"CODE = 1\n{SHOW}", "renewed")
    await point(whole, 1, 2)
    frontend = await whole.frontend()
    await serving(whole, frontend, 1, 2)
    before = {pod["metadata"]["name"] for pod in await whole.pods() if is_ready(pod)}
    async with Callers(whole) as callers:
        await eventually(lambda: callers.seen)
        spec["image"] = "localhost/python:2"
        await whole.client.apply(RUNTIMES, runtime | {"spec": spec}, manager="user")

        async def renewed() -> bool:
            pods = [pod for pod in await whole.pods() if labels.PROVISIONED in pod["metadata"]["labels"]]
            images = {pod["spec"]["containers"][0]["image"] for pod in pods}
            return images == {"localhost/python:2"} and len(pods) == 2 and all(map(is_ready, pods))

        await eventually(renewed)
        await told(whole, 1, "READY")
    assert callers.kinds == {(200, "provisioned-concurrency")}, callers.seen
    assert before.isdisjoint(pod["metadata"]["name"] for pod in await whole.pods())
    await whole.client.delete(RUNTIMES, "renewed", None)


async def test_a_version_whose_pods_find_no_place_gets_no_callers(whole: Cluster) -> None:
    """Until they do; the version before it serves meanwhile with all of its own."""
    await publish(whole, 1, f"CODE = 1\n{SHOW}")
    await point(whole, 1)
    frontend = await whole.frontend()
    await serving(whole, frontend, 1)
    await publish(whole, 2, f"CODE = 2\n{SHOW}")
    whole.agents.schedules = lambda pod: pod["metadata"]["labels"].get(labels.FUNCTION_VERSION) != "2"
    async with Callers(whole) as callers:
        await point(whole, 2)
        status = await told(whole, 2, "IN_PROGRESS")
        assert (status["routedVersion"], status["move"]["version"]) == ("1", "2")
        assert (await whole.invoke("f:live")).json["code"] == 1
        whole.agents.schedules = lambda _: True
        assert (await told(whole, 2, "READY"))["routedVersion"] == "2"
    assert callers.kinds == {(200, "provisioned-concurrency")}, callers.seen


async def test_an_environment_whose_container_was_restarted_is_replaced(whole: Cluster) -> None:
    """What it had initialized is gone; nothing is sent there, and nobody waits for it."""
    await publish(whole, 1, f"CODE = 1\n{SHOW}")
    await point(whole, 1, 2)
    frontend = await whole.frontend()
    await serving(whole, frontend, 1, 2)
    name = next(pod["metadata"]["name"] for pod in await whole.pods() if is_ready(pod))
    container = {"name": labels.CONTAINER, "ready": False, "restartCount": 1, "image": "", "imageID": ""}
    status: Object = {"conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [container]}
    async with Callers(whole) as callers:
        await whole.client.patch(PODS, name, {"status": status}, whole.namespace, subresource="status")

        async def replaced() -> bool:
            pods = await whole.pods()
            return name not in [pod["metadata"]["name"] for pod in pods] and sum(map(is_ready, pods)) == 2

        await eventually(replaced)
    assert callers.kinds == {(200, "provisioned-concurrency")}, callers.seen


async def test_environments_that_run_something_are_the_last_to_go(
    whole: Cluster, replica_sets: ReplicaSets, tmp_path: Path
) -> None:
    """Fewer are asked for while all but one are busy: those that end were idle, and nobody's invocation was theirs."""
    gate = tmp_path / "gate"
    await publish(whole, 1, f"CODE = 1\n{GATED}")
    await point(whole, 1, 3)
    frontend = await whole.frontend()
    await serving(whole, frontend, 1, 3)
    busy = whole.calls("f:live", 2, str(gate))
    await eventually(lambda: len(list(tmp_path.glob("gate.*"))) == 2)
    await point(whole, 1, 1)
    await eventually(lambda: len(replica_sets.shrunk) == 1)
    assert not any(call.done() for call in busy), "the first one to go was to be the idle one, at once"
    gate.touch()
    answers = [await call for call in busy]
    assert [(answer.status, answer.json["code"]) for answer in answers] == [(200, 1), (200, 1)]
    await eventually(lambda: len(replica_sets.shrunk) == 2)
    assert [cost(pod) for pod in replica_sets.shrunk] == [int(labels.DELETION_COST_FIRST)] * 2
    assert (await whole.invoke("f:live")).json["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"


async def test_what_was_let_go_of_is_taken_back_when_it_is_wanted_after_all(
    whole: Cluster, replica_sets: ReplicaSets
) -> None:
    """Before Kubernetes has ended it: nothing is started in its place, and it serves again."""
    await publish(whole, 1, f"CODE = 1\n{SHOW}")
    await point(whole, 1, 2)
    frontend = await whole.frontend()
    await serving(whole, frontend, 1, 2)
    (dispatcher,) = [found for found in frontend.owned if found.target.configuration.version == "1"]
    dispatcher.keep("live", 1)
    assert dispatcher.placement.available("live") == 1
    await eventually(lambda: dispatcher.placement.available("live") == 2)

    async def all_alike() -> bool:
        return {cost(pod) for pod in await whole.pods()} == {0}

    await eventually(all_alike)
    assert replica_sets.shrunk == []
    await told(whole, 1, "READY")
