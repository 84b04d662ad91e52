"""Functions that are container images, from nothing to an answer: real API server, agents and launchers."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.eventually import eventually
from tests.integration.loopback import RUNTIME, Cluster

from kubelambda.core.environment.shape import Shape
from kubelambda.kube.resources import RUNTIMES

SOURCE = Path(__file__).parents[3] / "images/launcher/launcher.c"
REFERENCE = "registry.example/team/app@sha256:" + "0" * 64
PROGRAM = """
import json, os, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/"
while True:
    with urllib.request.urlopen(api + "invocation/next") as answer:
        event, id = json.loads(answer.read()), answer.headers["Lambda-Runtime-Aws-Request-Id"]
    body = json.dumps({"event": event, "image": os.environ.get("FROM_IMAGE"), "mine": os.environ.get("MINE")}).encode()
    urllib.request.urlopen(urllib.request.Request(api + f"invocation/{id}/response", body, method="POST")).read()
"""


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled as its image does."""
    if shutil.which("gcc") is None:
        pytest.skip("needs a C compiler")
    built = tmp_path_factory.mktemp("launcher") / "launcher"
    subprocess.run(["gcc", "-Os", "-static", "-o", built, SOURCE], check=True)
    return built


@pytest.fixture
async def image(cluster: Cluster, launcher: Path) -> dict[str, Any]:
    """What the operator deploys of an image."""
    cluster.agents.launcher = launcher
    spec = {"image": RUNTIME.image, "inlineFileName": "bootstrap", "pool": {"size": 0}}
    manifest = {"apiVersion": "kubelambda.dev/v1alpha1", "kind": "Runtime", "metadata": {"name": "image"}, "spec": spec}
    await cluster.client.apply(RUNTIMES, manifest, manager="tests")
    deployed = {
        "uri": "registry.example/team/app:v1",
        "reference": REFERENCE,
        "entryPoint": [sys.executable, "-c", PROGRAM],
    }
    return {"runtime": "image", "handler": "", "image": deployed, "environment": {"variables": {"MINE": "1"}}}


async def test_an_image_answers_in_a_pod_of_its_own(cluster: Cluster, image: dict[str, Any]) -> None:
    """Once its container is there; nothing is unpacked, and the code store is not asked."""
    await cluster.function("app", "", **image)
    await cluster.frontend()
    answer = await cluster.invoke("app", {"n": 1})
    assert answer.json == {"event": {"n": 1}, "image": "1", "mine": "1"}
    (pod,) = await cluster.pods()
    assert [each["image"] for each in pod["spec"]["containers"]] == [REFERENCE]


async def test_an_image_is_taken_from_the_pool_of_its_digest(cluster: Cluster, image: dict[str, Any]) -> None:
    """As any other shape."""
    await cluster.function("app", "", **image)
    (pooled,) = await cluster.pool(1, Shape(image=REFERENCE), runtime="image")
    await cluster.frontend()
    assert (await cluster.invoke("app", 2)).json["event"] == 2

    async def claimed() -> bool:
        return await cluster.claimed_pods() == [pooled]

    await eventually(claimed)


async def answers_once_it_can_be_pulled(cluster: Cluster, name: str) -> None:
    """The pod that could not start goes; the next one is the function's."""

    async def gone() -> bool:
        return await cluster.pods() == []

    await eventually(gone)
    cluster.agents.unpulled = ""

    async def answers() -> bool:
        return (await cluster.invoke(name, 3)).status == 200

    await eventually(answers)


async def test_an_image_that_its_node_cannot_pull_is_said_at_once(cluster: Cluster, image: dict[str, Any]) -> None:
    """And not after the two minutes that a start may take; when it can, the function answers."""
    await cluster.function("app", "", **image)
    cluster.agents.unpulled = "Back-off pulling image: not found"
    await cluster.frontend()
    answer = await cluster.invoke("app")
    assert answer.status == 502, answer
    assert "registry.example/team/app:v1 cannot be pulled: Back-off pulling image: not found" in answer.json["Message"]
    await answers_once_it_can_be_pulled(cluster, "app")


async def test_a_runtime_whose_image_cannot_be_pulled_is_said_at_once(cluster: Cluster) -> None:
    """And not throttled after the minute that a start may take; when it can, the function answers."""
    await cluster.function("echo", "def handler(event, context): return event")
    cluster.agents.unpulled = "Back-off pulling image: not found"
    await cluster.frontend()
    answer = await cluster.invoke("echo")
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (502, "ResourceNotReadyException")
    assert (
        answer.json["Message"] == "The image of Runtime python3.13 cannot be pulled: Back-off pulling image: not found"
    )
    await answers_once_it_can_be_pulled(cluster, "echo")
