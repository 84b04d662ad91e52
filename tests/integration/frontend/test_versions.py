"""Qualifiers: which version is called, what it is told, and what the caller hears of it (§1.2, §1.5)."""

import asyncio
import base64
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.eventually import eventually
from tests.integration.frontend.gated import WAITING, begun
from tests.integration.frontend.late_caches import deafen, hear
from tests.integration.frontend.publishing import SHOW, delete, point, publish, sample
from tests.integration.loopback import Cluster

from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import ALIASES, FUNCTION_VERSIONS, FUNCTIONS, Resource

ACCOUNT_PREFIX = "arn:aws:lambda:us-east-1:"


def code(number: int) -> str:
    """A handler that says which one it is."""
    return f"CODE = {number}\n{SHOW}"


async def test_a_qualifier_selects_the_version_and_everything_says_so(cluster: Cluster) -> None:
    """By number, by alias, in the path or beside it; and $LATEST goes on."""
    await publish(cluster, "f", 1, code(1))
    await publish(cluster, "f", 2, code(2))
    await cluster.function("f", code(3), revision="e" * 16)
    await point(cluster, "f", "live", "1")
    await cluster.pool(3)
    await cluster.frontend()
    for path, version, answer in [("f:1", "1", 1), ("f:2", "2", 2), ("f", "$LATEST", 3), ("f:live", "1", 1)]:
        found = await cluster.invoke(path, headers={"X-Amz-Log-Type": "Tail"})
        assert found.status == 200, found.body
        assert f" Version: {version}\n" in base64.b64decode(found.headers["X-Amz-Log-Result"]).decode()
        assert found.headers["X-Amz-Executed-Version"] == version
        assert found.json["code"] == answer
        assert found.json["version"] == found.json["AWS_LAMBDA_FUNCTION_VERSION"] == version
        assert f"[{version}]" in found.json["AWS_LAMBDA_LOG_STREAM_NAME"]
        assert found.json["arn"].startswith(ACCOUNT_PREFIX)
        assert found.json["arn"].endswith(f":function:{path}")
    account = found.json["arn"].split(":")[4]
    for path in (f"{account}:function:f:live", f"arn:aws:lambda:us-east-1:{account}:function:f:live"):
        assert (await cluster.invoke(path)).headers["X-Amz-Executed-Version"] == "1"
    for path, qualifier in (("f", "live"), ("f:live", "live"), (f"{account}:function:f", "1")):
        found = await cluster.invoke(path, query={"Qualifier": qualifier})
        assert (found.headers["X-Amz-Executed-Version"], found.json["code"]) == ("1", 1)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("f:9", "Function not found: arn:aws:lambda:us-east-1:{account}:function:f:9"),
        ("f:gone", "Alias not found: arn:aws:lambda:us-east-1:{account}:function:f:gone"),
        ("f:nowhere", "Function not found: arn:aws:lambda:us-east-1:{account}:function:f:7"),
        (
            "arn:aws:lambda:eu-west-1:{account}:function:f",
            "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')",
        ),
        (
            "arn:aws:lambda:us-east-1:{account}:function",
            "Function not found: arn:aws:lambda:us-east-1:{account}:function:function:$LATEST",
        ),
    ],
)
async def test_what_does_not_exist_is_named(cluster: Cluster, path: str, text: str) -> None:
    """In Lambda's words; nothing runs."""
    await publish(cluster, "f", 1, code(1))
    await point(cluster, "f", "nowhere", "7")
    frontend = await cluster.frontend()
    account = frontend.caches.namespaces.items["", cluster.namespace].account_id
    answer = await cluster.invoke(path.format(account=account))
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (404, "ResourceNotFoundException")
    assert answer.json["Message"] == text.format(account=account)


async def test_a_version_runs_on_whatever_becomes_of_its_function(cluster: Cluster) -> None:
    """$LATEST has failed, and is told apart."""
    await publish(cluster, "f", 1, code(1))
    status = {"deployed": None, "state": "Failed", "stateReason": "no"}
    await cluster.client.patch(FUNCTIONS, "f", {"status": status}, cluster.namespace, subresource="status")
    await cluster.pool(1)
    await cluster.frontend()
    assert (await cluster.invoke("f:1")).json["code"] == 1
    assert (await cluster.invoke("f")).status == 502


async def test_weights_divide_the_invocations_of_an_alias(cluster: Cluster) -> None:
    """Each is decided by itself, and says which version it got."""
    await publish(cluster, "f", 1, code(1))
    await publish(cluster, "f", 2, code(2))
    await point(cluster, "f", "live", "1", weights={"2": 0.25})
    await cluster.pool(2)
    frontend = await cluster.frontend()
    chosen: Counter[str] = Counter()
    for _ in range(400):
        answer = await cluster.invoke("f:live")
        version = answer.headers["X-Amz-Executed-Version"]
        assert answer.json["version"] == version
        chosen[version] += 1
    assert chosen.keys() == {"1", "2"}
    assert 55 <= chosen["2"] <= 145
    labels = {"namespace": cluster.namespace, "function": "f", "qualifier": "live"}
    for version, count in chosen.items():
        name = "kubelambda_qualifier_invocations_total"
        assert sample(frontend.metrics.registry, name, labels | {"version": version}) == count
    await delete(cluster, ALIASES, "f-live")
    await eventually(lambda: sample(frontend.metrics.registry, name, labels | {"version": "2"}) is None)


async def test_an_alias_that_moves_under_load_loses_nothing(cluster: Cluster) -> None:
    """Every caller gets one version or the other, and soon only the new one."""
    await publish(cluster, "f", 1, code(1))
    await publish(cluster, "f", 2, code(2))
    await point(cluster, "f", "live", "1")
    await cluster.pool(4)
    await cluster.frontend()
    await cluster.invoke("f:live")
    stopped = False
    statuses: Counter[int] = Counter()

    async def call() -> None:
        while not stopped:
            statuses[(await cluster.invoke("f:live")).status] += 1

    callers = [asyncio.create_task(call()) for _ in range(2)]
    for move in range(6):
        version = str(2 - move % 2)
        await point(cluster, "f", "live", version)

        async def moved(version: str = version) -> bool:
            return (await cluster.invoke("f:live")).headers["X-Amz-Executed-Version"] == version

        await eventually(moved)
    stopped = True
    await asyncio.gather(*callers)
    assert statuses.keys() == {200}


async def test_versions_share_their_functions_reservation(cluster: Cluster, tmp_path: Path) -> None:
    """A ceiling over all of them, with Lambda's reason beyond it."""
    gate = tmp_path / "gate"
    await publish(cluster, "f", 1, WAITING, reserved=1, timeout=60)
    await publish(cluster, "f", 2, WAITING, reserved=1, timeout=60)
    await cluster.pool(2)
    await cluster.frontend()
    first = cluster.calls("f:1", 1, str(gate))[0]
    await eventually(lambda: begun(gate))
    throttled = await cluster.invoke("f:2")
    gate.touch()
    assert throttled.status == 429
    assert throttled.json["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert (await first).status == 200


async def test_a_version_or_an_alias_that_is_deleted_is_gone(cluster: Cluster) -> None:
    """And its environments with it; the function stays."""
    await publish(cluster, "f", 1, code(1))
    await point(cluster, "f", "live", "1")
    await cluster.pool(2)
    await cluster.frontend()
    assert (await cluster.invoke("f:live")).status == 200
    await delete(cluster, ALIASES, "f-live")

    async def unknown() -> bool:
        return (await cluster.invoke("f:live")).status == 404

    await eventually(unknown)
    assert (await cluster.invoke("f:1")).status == 200
    await delete(cluster, FUNCTION_VERSIONS, "f-1")

    async def gone() -> bool:
        return (await cluster.invoke("f:1")).status == 404 and await cluster.claimed_pods() == []

    await eventually(gone)
    assert (await cluster.invoke("f")).status == 200


async def test_who_publishes_and_calls_at_once_is_served(cluster: Cluster) -> None:
    """Though the caches have seen neither version nor alias: Kubernetes is asked before they are said to be absent."""
    await publish(cluster, "f", 1, code(1))
    await cluster.pool(3)
    frontend = await cluster.frontend()
    assert (await cluster.invoke("f:1")).status == 200
    assert (await cluster.invoke("f:live")).status == 404
    deafen(frontend.caches.versions, frontend.caches.aliases)
    await publish(cluster, "f", 2, code(2))
    await point(cluster, "f", "next", "2")
    answers = await asyncio.gather(*cluster.calls("f:next", 2), *cluster.calls("f:2", 1))
    assert [(answer.status, answer.headers["X-Amz-Executed-Version"]) for answer in answers] == [(200, "2")] * 3
    assert {answer.json["code"] for answer in answers} == {2}
    assert (await cluster.invoke("f:1")).json["code"] == 1


async def test_what_was_found_ahead_of_the_caches_goes_when_they_say_so(cluster: Cluster) -> None:
    """An alias that is deleted is gone, though it was looked up a moment ago."""
    await publish(cluster, "f", 1, code(1))
    await cluster.pool(1)
    frontend = await cluster.frontend()
    deafen(frontend.caches.aliases)
    await point(cluster, "f", "live", "1")
    assert (await cluster.invoke("f:live")).status == 200
    body = await cluster.client.get(ALIASES, "f-live", cluster.namespace)
    hear(frontend.caches.aliases, body)
    hear(frontend.caches.aliases, body, deleted=True)
    await delete(cluster, ALIASES, "f-live")
    assert (await cluster.invoke("f:live")).status == 404


async def test_names_that_nobody_published_cost_few_looks(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are made up, and however often they are called; a namespace is listed a few times a second."""
    await publish(cluster, "f", 1, code(1))
    await cluster.pool(1)
    await cluster.frontend()
    listed: Counter[str] = Counter()
    pages = KubeClient.pages

    def counting(self: KubeClient, resource: Resource, *where: Any, **how: Any) -> Any:
        listed[resource.plural] += 1
        return pages(self, resource, *where, **how)

    monkeypatch.setattr(KubeClient, "pages", counting)
    begun = asyncio.get_running_loop().time()
    for number in range(3):
        calls = [cluster.calls(f"f:made-up-{index}-{number}", 2) for index in range(20)]
        answers = await asyncio.gather(*(call for each in calls for call in each))
        assert {answer.status for answer in answers} == {404}
    for _ in range(20):
        assert (await cluster.invoke("f:made-up-0-0")).status == 404
    passed = asyncio.get_running_loop().time() - begun
    assert 1 <= listed["aliases"] <= 2 + passed / 0.25
    assert (await cluster.invoke("f:1")).status == 200
