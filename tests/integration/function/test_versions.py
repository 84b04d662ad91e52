"""The life of versions (§1.5.1): the real operator, code store and API server."""

import asyncio

import pytest
from tests.integration.function.objects import Objects
from tests.integration.functions import Functions, condition, eventually, listed
from tests.integration.processes import Installation

from kubelambda.api import labels
from kubelambda.kube.resources import ALIASES, DEPLOYMENTS, FUNCTION_VERSIONS, FUNCTIONS, PODS


async def test_each_change_of_a_function_that_publishes_is_a_version(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """Numbered from 1, named after function and number, owned by it, immutable in what it runs."""
    functions.apply("hello", publish=True, description="first")
    first = await objects.version("hello-1")
    assert (first["version"], first["state"]) == ("1", "Active")
    assert first["functionArn"].endswith(":function:hello:1")
    assert condition(first, "Ready")["reason"] == "Published"
    function = await functions.ready("hello")
    assert first["codeSha256"] == function["codeSha256"]
    assert first["deployed"]["version"] == "1"
    assert first["deployed"]["revision"] != function["deployed"]["revision"]
    owner = (await functions.client.get(FUNCTION_VERSIONS, "hello-1", functions.namespace))["metadata"]
    assert owner["ownerReferences"][0]["kind"] == "Function"
    functions.apply("hello", publish=True, code={"inline": "x = 2"}, memorySize=256)
    second = await objects.version("hello-2")
    assert second["deployed"]["memorySize"] == 256
    assert (await objects.version("hello-1"))["deployed"] == first["deployed"]
    await functions.until("hello", lambda status: status["lastPublished"]["version"] == 2)


async def test_what_is_no_change_publishes_nothing(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """A description is none; an older release's configuration that comes back is one again."""
    functions.apply("same", publish=True)
    await objects.version("same-1")
    functions.apply("same", publish=True, description="only words")
    await functions.ready("same")
    functions.apply("same", publish=True, timeout=9)
    await objects.version("same-2")
    functions.apply("same", publish=True, timeout=3)
    third = await objects.version("same-3")
    assert third["deployed"]["timeout"] == 3
    assert await objects.names(FUNCTION_VERSIONS) == {"same-1", "same-2", "same-3"}


async def test_creating_a_version_publishes(running: Installation, functions: Functions, objects: Objects) -> None:
    """Whatever the object is called; without a change, it is the last version again."""
    functions.apply("manual")
    await functions.ready("manual")
    objects.create(FUNCTION_VERSIONS, "release-of-may", {"functionName": "manual", "description": "of May"})
    assert (await objects.version("release-of-may"))["version"] == "1"
    objects.publish("again", functionName="manual")
    again = await objects.version("again")
    assert (again["version"], "deployed" in again) == ("1", False)
    assert condition(again, "Ready") | {"lastTransitionTime": ""} == {
        "type": "Ready",
        "status": "True",
        "reason": "Unchanged",
        "message": "nothing changed since version 1: this is that version",
        "observedGeneration": 1,
        "lastTransitionTime": "",
    }
    functions.apply("manual", timeout=9)
    await functions.ready("manual")
    objects.publish("release-of-june", functionName="manual")
    assert (await objects.version("release-of-june"))["version"] == "2"


async def test_many_that_publish_at_once_get_one_number(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """One of them is the version, and all others are that version too."""
    functions.apply("crowd")
    await functions.ready("crowd")
    names = [f"crowd-asks-{index}" for index in range(12)]
    for name in names:
        objects.publish(name, functionName="crowd")
    found = [await objects.version(name) for name in names]
    assert {each["version"] for each in found} == {"1"}
    assert sum("deployed" in each for each in found) == 1


async def test_a_wrong_digest_publishes_nothing(running: Installation, functions: Functions, objects: Objects) -> None:
    """Lambda's words, and the version has failed for good."""
    functions.apply("guarded")
    real = (await functions.ready("guarded"))["codeSha256"]
    given = "A" * 43 + "="
    objects.publish("wrong", functionName="guarded", codeSha256=given)
    status = await objects.until(FUNCTION_VERSIONS, "wrong", lambda status: status.get("state") == "Failed")
    assert condition(status, "Stalled")["message"] == (
        f"CodeSHA256 ({given}) is different from current CodeSHA256 in $LATEST ({real}). "
        "Please try again with the CodeSHA256 in $LATEST."
    )
    objects.publish("right", functionName="guarded", codeSha256=real)
    assert (await objects.version("right"))["version"] == "1"


async def test_a_version_waits_for_its_function(running: Installation, functions: Functions, objects: Objects) -> None:
    """One that does not exist yet, or whose last update has failed."""
    objects.publish("early", functionName="later")
    status = await objects.until(FUNCTION_VERSIONS, "early", lambda status: bool(condition(status, "Ready")))
    assert (status["state"], condition(status, "Ready")["reason"]) == ("Pending", "FunctionNotFound")
    functions.apply("later", runtime="nothing")
    await functions.until("later", lambda status: status["state"] == "Failed")
    functions.apply("later")
    assert (await objects.version("early"))["version"] == "1"


async def test_a_version_runs_when_its_function_is_broken(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """It has its own snapshot, and what is broken is not published."""
    functions.apply("broken", publish=True)
    before = await objects.version("broken-1")
    functions.apply("broken", publish=True, runtime="nothing")
    await functions.until("broken", lambda status: status["lastUpdateStatus"] == "Failed")
    objects.publish("refused", functionName="broken")
    await objects.until(
        FUNCTION_VERSIONS, "refused", lambda status: condition(status, "Ready").get("reason") == "FunctionFailed"
    )
    after = await objects.version("broken-1")
    assert (after["state"], after["deployed"]) == ("Active", before["deployed"])


async def test_a_number_is_never_used_again(running: Installation, functions: Functions, objects: Objects) -> None:
    """Not that of a version that was deleted, and a deleted one does not come back by itself."""
    functions.apply("counts", publish=True)
    await objects.version("counts-1")
    await functions.client.delete(FUNCTION_VERSIONS, "counts-1", functions.namespace)
    await eventually(lambda: gone(objects, "counts-1"))
    functions.apply("counts", publish=True, description="nothing new")
    await functions.ready("counts")
    assert await objects.names(FUNCTION_VERSIONS) == set()
    functions.apply("counts", publish=True, timeout=9)
    assert (await objects.version("counts-2"))["version"] == "2"


async def gone(objects: Objects, name: str) -> bool:
    """Whether a version is not there any more."""
    return name not in await objects.names(FUNCTION_VERSIONS)


async def test_a_version_that_an_alias_uses_is_not_deleted(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """It says which alias, keeps its deployment, and goes once that leads elsewhere."""
    functions.apply("held", publish=True)
    await objects.version("held-1")
    functions.apply("held", publish=True, timeout=9)
    await objects.version("held-2")
    objects.alias("held", "live", "1")
    await objects.routed("held-live", "1")
    await functions.client.delete(FUNCTION_VERSIONS, "held-1", functions.namespace)
    status = await objects.until(FUNCTION_VERSIONS, "held-1", lambda status: bool(condition(status, "DeletionRefused")))
    assert condition(status, "DeletionRefused")["message"] == (
        "aliases use this version: live; point them elsewhere first"
    )
    assert status["deployed"]["version"] == "1"
    objects.alias("held", "live", "2")
    await eventually(lambda: gone(objects, "held-1"))


async def test_versions_go_with_their_function(running: Installation, functions: Functions, objects: Objects) -> None:
    """Nothing holds them when it is gone, aliases or not."""
    functions.apply("whole", publish=True)
    await objects.version("whole-1")
    objects.alias("whole", "live", "1")
    await objects.routed("whole-live", "1")
    alias = await functions.client.get(ALIASES, "whole-live", functions.namespace)
    assert alias["metadata"]["ownerReferences"][0]["name"] == "whole"
    await functions.client.delete(FUNCTION_VERSIONS, "whole-1", functions.namespace)
    await objects.until(FUNCTION_VERSIONS, "whole-1", lambda status: bool(condition(status, "DeletionRefused")))
    await functions.client.delete(FUNCTIONS, "whole", functions.namespace)
    await eventually(lambda: gone(objects, "whole-1"))


async def test_the_newest_versions_are_kept(running: Installation, functions: Functions, objects: Objects) -> None:
    """As many as `versionRetention` says, and those that an alias uses."""
    functions.apply("many", publish=True, timeout=1)
    await objects.version("many-1")
    objects.alias("many", "old", "1")
    await objects.routed("many-old", "1")
    for number in range(2, 6):
        functions.apply("many", publish=True, timeout=number)
        await objects.version(f"many-{number}")
    functions.apply("many", publish=True, timeout=5, versionRetention=2)

    async def kept() -> bool:
        return await objects.names(FUNCTION_VERSIONS) == {"many-1", "many-4", "many-5"}

    await eventually(kept)


@pytest.mark.timeout(300)
async def test_two_hundred_idle_versions_cost_no_pods(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """They are objects and an archive each that differs; nothing runs until it is called."""

    async def publish(name: str) -> None:
        for number in range(1, 21):
            # Without kubectl, whose own start would take most of the time.
            manifest = functions.manifest(name, publish=True, timeout=number)
            await functions.client.apply(FUNCTIONS, manifest, manager="user")
            await objects.version(f"{name}-{number}")

    await asyncio.gather(*[publish(f"idle-{index}") for index in range(10)])

    async def one_pool() -> bool:
        found = await listed(functions.client, DEPLOYMENTS, functions.namespace)
        return [labels.POOL in item["metadata"]["labels"] for item in found] == [True]

    await eventually(one_pool)
    assert await objects.names(PODS) == set()


async def test_the_code_of_versions_stays_in_the_store(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """Though the function went on to other code, and what came and went since is collected; it goes with them."""
    functions.apply("keeps", publish=True, code={"inline": "first = 1"})
    first = (await objects.version("keeps-1"))["deployed"]["code"]["sha256"]
    functions.apply("keeps", publish=True, code={"inline": "second = 2"})
    await objects.version("keeps-2")
    functions.apply("goes", code={"inline": "third = 3"})
    third = (await functions.ready("goes"))["deployed"]["code"]["sha256"]
    await functions.client.delete(FUNCTIONS, "goes", functions.namespace)
    await eventually(lambda: not (running.blobs / third).exists())
    assert (running.blobs / first).exists()
    await functions.client.delete(FUNCTION_VERSIONS, "keeps-1", functions.namespace)
    await eventually(lambda: not (running.blobs / first).exists())
