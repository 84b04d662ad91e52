"""Where aliases lead, and what keeps them from it (§1.5.2): the real operator, code store and API server."""

import time

import pytest
from tests.integration.function.objects import Objects
from tests.integration.functions import Functions, condition, told
from tests.integration.processes import Installation

from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ALIASES, FUNCTION_VERSIONS, FUNCTIONS


async def publish(functions: Functions, objects: Objects, name: str, count: int) -> list[Object]:
    """Versions 1 to `count` of a function."""
    found = []
    for number in range(1, count + 1):
        functions.apply(name, publish=True, timeout=number)
        found.append(await objects.version(f"{name}-{number}"))
    return found


def not_ready(reason: str) -> object:
    """Whether an alias is not Ready for that reason."""
    return lambda status: condition(status, "Ready").get("reason") == reason


async def test_an_alias_leads_to_its_version(running: Installation, functions: Functions, objects: Objects) -> None:
    """At once, also when it is moved; its owner is the Function, and an Event tells each move."""
    await publish(functions, objects, "hello", 2)
    objects.alias("hello", "live", "1")
    status = await objects.routed("hello-live", "1")
    assert status["aliasArn"].endswith(":function:hello:live")
    assert condition(status, "Ready")["message"] == "callers get version 1"
    moved = time.monotonic()
    objects.alias("hello", "live", "2", routingConfig={"additionalVersionWeights": {"1": 0.25}})
    status = await objects.routed("hello-live", "2")
    assert time.monotonic() - moved < 60
    assert status["routedVersionWeights"] == {"1": 0.25}
    assert condition(status, "Ready")["message"] == "callers get version 2, version 1 for 25%"
    events = functions.control_plane.kubectl("--namespace", functions.namespace, "describe", "alias", "hello-live")
    assert "callers get version 2" in events.stdout
    row = functions.control_plane.kubectl("--namespace", functions.namespace, "get", "alias", "hello-live").stdout
    assert row.splitlines()[1].split()[:5] == ["hello-live", "hello", "live", "2", "2"]


async def test_an_alias_may_name_code(running: Installation, functions: Functions, objects: Objects) -> None:
    """The newest version with it; it follows when the code is published later."""
    functions.apply("content", publish=True)
    first = await objects.version("content-1")
    objects.alias("content", "live", codeSha256=first["codeSha256"])
    await objects.routed("content-live", "1")
    functions.apply("content", publish=True, timeout=9)
    await objects.routed("content-live", "2")
    unknown = "A" * 43 + "="
    objects.alias("content", "next", codeSha256=unknown)
    status = await objects.until(ALIASES, "content-next", not_ready("VersionNotFound"))  # type: ignore[arg-type]
    assert condition(status, "Ready")["message"] == f"no version has the code with SHA-256 {unknown}"


async def test_an_alias_that_leads_nowhere_says_so(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """And leads there once it exists; what callers get meanwhile stays."""
    objects.alias("missing", "live", "1")
    status = await objects.until(ALIASES, "missing-live", not_ready("FunctionNotFound"))  # type: ignore[arg-type]
    assert "routedVersion" not in status
    await publish(functions, objects, "missing", 1)
    await objects.routed("missing-live", "1")
    objects.alias("missing", "live", "2")
    status = await objects.until(ALIASES, "missing-live", not_ready("VersionNotFound"))  # type: ignore[arg-type]
    assert status["routedVersion"] == "1"
    assert condition(status, "Ready")["message"].endswith(":function:missing:2")
    functions.apply("missing", publish=True, timeout=2)
    await objects.routed("missing-live", "2")


async def test_a_version_that_cannot_run_takes_no_traffic(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """The previous one goes on."""
    await publish(functions, objects, "fails", 2)
    objects.alias("fails", "live", "1")
    await objects.routed("fails-live", "1")
    stored = (await objects.version("fails-2"))["deployed"]["code"]["sha256"]
    assert stored  # both versions have the same code: what differs is made to fail by its runtime
    applied = functions.control_plane.apply([runtime("goes-away")])
    assert applied.returncode == 0, applied.stderr
    functions.apply("fails", publish=True, runtime="goes-away")
    await objects.version("fails-3")
    functions.control_plane.kubectl("delete", "runtime", "goes-away")
    await objects.until(FUNCTION_VERSIONS, "fails-3", not_ready("RuntimeNotFound"))  # type: ignore[arg-type]
    # What the operator does not know yet of its own write would keep no alias away.
    await told(functions.client, "FunctionVersion", "fails-3", functions.namespace, "RuntimeNotFound")
    objects.alias("fails", "live", "3")
    status = await objects.until(ALIASES, "fails-live", not_ready("VersionNotReady"))  # type: ignore[arg-type]
    assert status["routedVersion"] == "1"
    assert functions.control_plane.apply([runtime("goes-away")]).returncode == 0
    await objects.routed("fails-live", "3")
    functions.control_plane.kubectl("delete", "runtime", "goes-away")


def runtime(name: str) -> Object:
    """A Runtime."""
    spec = {"image": "localhost/python:1", "inlineFileName": "index.py", "pool": {"size": 0}}
    return {"apiVersion": "kubelambda.dev/v1alpha1", "kind": "Runtime", "metadata": {"name": name}, "spec": spec}


async def test_the_older_of_two_objects_is_the_alias(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """The other one says whose it is, takes no traffic, and takes over when that is gone."""
    await publish(functions, objects, "twice", 2)
    objects.alias("twice", "live", "1")
    await objects.routed("twice-live", "1")
    spec = {"functionName": "twice", "name": "live", "functionVersion": "2"}
    objects.apply(ALIASES, "another", spec)
    status = await objects.until(ALIASES, "another", not_ready("Duplicate"))  # type: ignore[arg-type]
    assert "routedVersion" not in status
    assert condition(status, "Stalled")["message"] == "Alias twice-live is alias live of function twice already"
    await functions.client.delete(ALIASES, "twice-live", functions.namespace)
    await objects.routed("another", "2")


async def test_an_alias_of_latest_follows_the_function(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """It needs a deployment, no version."""
    functions.apply("latest")
    await functions.ready("latest")
    objects.alias("latest", "dev", "$LATEST")
    await objects.routed("latest-dev", "$LATEST")
    await functions.client.delete(FUNCTIONS, "latest", functions.namespace)
    status = await objects.until(ALIASES, "latest-dev", not_ready("FunctionNotFound"))  # type: ignore[arg-type]
    assert "routedVersion" not in status


@pytest.mark.parametrize("operator", ["operator-2"])
async def test_a_new_operator_finds_everything_as_it_is(
    running: Installation, functions: Functions, objects: Objects, operator: str
) -> None:
    """Another one that looks at it all again writes nothing."""
    await publish(functions, objects, "settled", 2)
    objects.alias("settled", "live", "2")
    await objects.routed("settled-live", "2")
    await functions.until("settled", lambda status: status["lastPublished"]["version"] == 2)
    names = [(FUNCTIONS, "settled"), (FUNCTION_VERSIONS, "settled-1"), (ALIASES, "settled-live")]
    next(each for each in running.components if each.name.startswith("operator")).stop()
    before = [(await functions.client.get(kind, name, functions.namespace))["metadata"] for kind, name in names]
    running.operator(operator)
    functions.apply("probe", publish=True)
    await objects.version("probe-1")
    functions.control_plane.kubectl("annotate", "namespace", functions.namespace, "kubelambda.dev/note=look-again")
    functions.apply("probe", publish=True, timeout=9)
    await objects.version("probe-2")
    after = [(await functions.client.get(kind, name, functions.namespace))["metadata"] for kind, name in names]
    assert [each["resourceVersion"] for each in after] == [each["resourceVersion"] for each in before]
