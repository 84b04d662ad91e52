"""Provisioned concurrency (§5.3-5.7): the real operator and API server, pods as a cluster would make them."""

from typing import Any

from tests.integration.function.objects import Objects
from tests.integration.functions import Functions, condition, eventually, told
from tests.integration.processes import Installation

from kubelambda.api import labels
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ALIASES, FUNCTION_VERSIONS


def provisioned(count: int, **more: Any) -> Object:
    """What an alias or a version says."""
    return {"provisionedConcurrency": {"provisionedConcurrentExecutions": count, **more}}


def pc(status: Object) -> Object:
    """That part of a status."""
    found: Object = status.get("provisionedConcurrency") or {}
    return found


async def publish(functions: Functions, objects: Objects, name: str, count: int = 1, **spec: Any) -> None:
    """Versions 1 to `count` of a function."""
    for number in range(1, count + 1):
        functions.apply(name, publish=True, timeout=number, **spec)
        await objects.version(f"{name}-{number}")


async def test_an_alias_gets_a_deployment_of_its_version(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """IN_PROGRESS until all its pods are ready; they are labelled apart, and Ready after INIT."""
    await publish(functions, objects, "warm", memorySize=512)
    objects.alias("warm", "live", "1", **provisioned(2))
    status = await objects.until(ALIASES, "warm-live", lambda status: pc(status).get("allocated") == 2)
    assert (pc(status)["requested"], pc(status)["available"], pc(status)["status"]) == (2, 0, "IN_PROGRESS")
    assert status["routedVersion"] == "1"
    await eventually(lambda: has(objects, {("live", "1"): 2}))
    deployment = (await objects.deployments())["live", "1"]
    template = deployment["spec"]["template"]
    version = await objects.version("warm-1")
    assert template["metadata"]["labels"][labels.REVISION] == version["deployed"]["revision"]
    assert labels.POOL not in template["metadata"]["labels"]
    container = template["spec"]["containers"][0]
    assert container["readinessProbe"]["httpGet"]["path"] == "/initialized"
    assert container["resources"]["limits"]["memory"] == "560Mi"
    assert deployment["metadata"]["ownerReferences"][0]["kind"] == "Alias"
    await objects.start_pods("live", "1")
    status = await objects.until(ALIASES, "warm-live", lambda status: pc(status)["status"] == "READY")
    assert (pc(status)["available"], condition(status, "ProvisionedConcurrencyReady")["status"]) == (2, "True")
    scaled = functions.control_plane.kubectl(
        "--namespace", functions.namespace, "scale", "alias/warm-live", "--replicas=3"
    )
    assert scaled.returncode == 0, scaled.stderr
    await eventually(lambda: has(objects, {("live", "1"): 3}))
    scale = functions.control_plane.kubectl(
        "get", "--raw", f"/apis/kubelambda.dev/v1alpha1/namespaces/{functions.namespace}/aliases/warm-live/scale"
    )
    assert '"replicas":2' in scale.stdout
    assert "kubelambda.dev/provisioned=live" in scale.stdout


async def has(objects: Objects, expected: dict[tuple[str, str], int]) -> bool:
    """Whether there are exactly these provisioned environments."""
    return await objects.sizes() == expected


async def test_callers_get_a_new_version_when_its_environments_are_there(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """Make before break: the old one serves and keeps its own until then, and loses them after that."""
    await publish(functions, objects, "moves", 2)
    objects.alias("moves", "live", "1", **provisioned(2))
    await eventually(lambda: has(objects, {("live", "1"): 2}))
    await objects.start_pods("live", "1")
    await objects.until(ALIASES, "moves-live", lambda status: pc(status).get("status") == "READY")
    objects.alias("moves", "live", "2", **provisioned(2))
    status = await objects.until(ALIASES, "moves-live", lambda status: "move" in status)
    assert (status["routedVersion"], status["functionVersion"], status["move"]["version"]) == ("1", "2", "2")
    assert status["selector"].endswith("kubelambda.dev/version in (1)"), "an HPA would count those of both versions"
    assert pc(status)["status"] == "IN_PROGRESS"
    assert condition(status, "Ready")["message"] == "version 1 serves until version 2 is provisioned"
    await eventually(lambda: has(objects, {("live", "1"): 2, ("live", "2"): 2}))
    await objects.start_pods("live", "2")
    status = await objects.routed("moves-live", "2")
    assert (pc(status)["status"], "move" in status) == ("READY", False)
    assert status["selector"].endswith("kubelambda.dev/version in (2)")
    await eventually(lambda: has(objects, {("live", "2"): 2}))


async def test_pods_that_are_about_to_go_are_none_to_move_back_to(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """The Deployment of the version that was left is gone, its pods still look ready: they are not waited upon."""
    await publish(functions, objects, "back", 2)
    objects.alias("back", "live", "1", **provisioned(1))
    await eventually(lambda: has(objects, {("live", "1"): 1}))
    await objects.start_pods("live", "1")
    await objects.until(ALIASES, "back-live", lambda status: pc(status).get("status") == "READY")
    objects.alias("back", "live", "2", **provisioned(1))
    await eventually(lambda: has(objects, {("live", "1"): 1, ("live", "2"): 1}))
    await objects.start_pods("live", "2")
    await objects.routed("back-live", "2")
    await eventually(lambda: has(objects, {("live", "2"): 1}))
    objects.alias("back", "live", "1", **provisioned(1))
    status = await objects.until(ALIASES, "back-live", lambda status: "move" in status)
    assert (status["routedVersion"], status["move"]["version"]) == ("2", "1")
    await objects.stop_pods()
    await objects.start_pods("live", "2")
    await objects.start_pods("live", "1")
    await objects.routed("back-live", "1")


async def test_a_move_that_takes_too_long_says_so(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """The old version still serves; the reason of the failure is Lambda's; a late end is an end too."""
    await publish(functions, objects, "slow", 2)
    objects.alias("slow", "live", "1", **provisioned(1))
    await eventually(lambda: has(objects, {("live", "1"): 1}))
    await objects.start_pods("live", "1")
    await objects.until(ALIASES, "slow-live", lambda status: pc(status).get("status") == "READY")
    objects.alias("slow", "live", "2", **provisioned(1, progressDeadlineSeconds=1))
    await eventually(lambda: has(objects, {("live", "1"): 1, ("live", "2"): 1}))
    await objects.start_pods("live", "2", error="Runtime.ImportModuleError: no module")
    status = await objects.until(
        ALIASES,
        "slow-live",
        lambda status: (
            condition(status, "Ready")["reason"] == "ProgressDeadlineExceeded"
            and pc(status).get("statusReason") == "FUNCTION_ERROR_INIT_FAILURE"
        ),
    )
    assert status["routedVersion"] == "1"
    assert (pc(status)["status"], pc(status)["initError"]) == ("FAILED", "Runtime.ImportModuleError: no module")
    assert condition(status, "ProvisionedConcurrencyReady")["reason"] == "ProgressDeadlineExceeded"
    await objects.stop_pods()
    await objects.start_pods("live", "1")
    await objects.start_pods("live", "2")
    status = await objects.routed("slow-live", "2")
    assert pc(status)["status"] == "READY"
    await told(objects.client, "Alias", "slow-live", objects.namespace, "Available")


async def test_environments_that_are_lost_are_not_available(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """Until Kubernetes has made others; the route stays."""
    await publish(functions, objects, "lost")
    objects.alias("lost", "live", "1", **provisioned(2))
    await eventually(lambda: has(objects, {("live", "1"): 2}))
    await objects.start_pods("live", "1")
    await objects.until(ALIASES, "lost-live", lambda status: pc(status).get("status") == "READY")
    await objects.stop_pods()
    status = await objects.until(ALIASES, "lost-live", lambda status: pc(status).get("available") == 0)
    assert (pc(status)["status"], status["routedVersion"]) == ("IN_PROGRESS", "1")


async def test_provisioned_is_within_the_reservation(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """Lambda's words from both sides; what was granted before stays."""
    await publish(functions, objects, "tight", reservedConcurrentExecutions=3)
    objects.alias("tight", "live", "1", **provisioned(2))
    await objects.until(ALIASES, "tight-live", lambda status: pc(status).get("allocated") == 2)
    objects.alias("tight", "live", "1", **provisioned(4))
    status = await objects.until(ALIASES, "tight-live", lambda status: pc(status).get("requested") == 4)
    assert (pc(status)["allocated"], pc(status)["status"]) == (2, "FAILED")
    assert pc(status)["statusReason"] == (
        "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
    )
    assert condition(status, "ProvisionedConcurrencyReady")["reason"] == "Refused"
    await told(objects.client, "Alias", "tight-live", objects.namespace, "Refused")
    functions.apply("tight", publish=True, timeout=1, reservedConcurrentExecutions=1)
    function = await functions.until("tight", lambda status: bool(condition(status, "Stalled")))
    assert condition(function, "ConcurrencyGranted")["message"] == (
        " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2]."
    )
    assert function["reservedConcurrentExecutions"] == 3
    functions.apply("tight", publish=True, timeout=1, reservedConcurrentExecutions=4)
    await objects.until(ALIASES, "tight-live", lambda status: pc(status).get("allocated") == 4)


async def test_provisioned_leaves_the_account_its_minimum(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """Refused with Lambda's words; what one gives back goes to who waits."""
    await publish(functions, objects, "first")
    await publish(functions, objects, "second")
    objects.alias("first", "live", "1", **provisioned(600))
    await objects.until(ALIASES, "first-live", lambda status: pc(status).get("allocated") == 600)
    objects.alias("second", "live", "1", **provisioned(350))
    status = await objects.until(ALIASES, "second-live", lambda status: pc(status).get("requested") == 350)
    assert pc(status)["allocated"] == 0
    assert pc(status)["statusReason"] == (
        "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
        "minimum value of [100]."
    )
    objects.alias("second", "live", "1", **provisioned(450))
    status = await objects.until(ALIASES, "second-live", lambda status: pc(status).get("requested") == 450)
    assert pc(status)["statusReason"] == (
        "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [400]."
    )
    objects.alias("first", "live", "1", **provisioned(10))
    await objects.until(ALIASES, "second-live", lambda status: pc(status).get("allocated") == 450)


async def test_a_version_and_its_alias_are_not_both_provisioned(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """Whoever has it keeps it; the other says so with Lambda's words, and gets it when it is given back."""
    await publish(functions, objects, "both")
    spec = {"functionName": "both"}
    patch = {"spec": provisioned(2)}
    await functions.client.patch(FUNCTION_VERSIONS, "both-1", patch, functions.namespace)
    await objects.until(FUNCTION_VERSIONS, "both-1", lambda status: pc(status).get("allocated") == 2)
    await eventually(lambda: has(objects, {("1", "1"): 2}))
    objects.alias("both", "live", "1", **provisioned(1))
    status = await objects.until(ALIASES, "both-live", lambda status: pc(status).get("status") == "FAILED")
    assert pc(status)["statusReason"] == (
        "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
    )
    await functions.client.patch(
        FUNCTION_VERSIONS, "both-1", {"spec": {**spec, "provisionedConcurrency": None}}, functions.namespace
    )
    await objects.until(ALIASES, "both-live", lambda status: pc(status).get("allocated") == 1)
    await eventually(lambda: has(objects, {("live", "1"): 1}))
    await functions.client.patch(FUNCTION_VERSIONS, "both-1", patch, functions.namespace)
    status = await objects.until(FUNCTION_VERSIONS, "both-1", lambda status: pc(status).get("status") == "FAILED")
    assert pc(status)["statusReason"] == "Version is pointed by a Provisioned Concurrency alias"


async def test_a_second_object_of_an_alias_has_nothing_provisioned(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """Nor does it take anything from those that have: the reservation is for aliases that callers get."""
    await publish(functions, objects, "pair", reservedConcurrentExecutions=3)
    objects.alias("pair", "live", "1", **provisioned(2))
    await objects.until(ALIASES, "pair-live", lambda status: pc(status).get("allocated") == 2)
    objects.apply(ALIASES, "again", {"functionName": "pair", "name": "live", "functionVersion": "1", **provisioned(1)})
    status = await objects.until(
        ALIASES, "again", lambda status: condition(status, "Ready").get("reason") == "Duplicate"
    )
    assert "provisionedConcurrency" not in status
    objects.alias("pair", "next", "1", **provisioned(1))
    await objects.until(ALIASES, "pair-next", lambda status: pc(status).get("allocated") == 1)
    await eventually(lambda: has(objects, {("live", "1"): 2, ("next", "1"): 1}))
    await functions.client.delete(ALIASES, "pair-live", functions.namespace)
    await objects.until(ALIASES, "again", lambda status: pc(status).get("allocated") == 1)


async def test_nothing_provisioned_leaves_nothing(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """The Deployment goes with the wish, and the status with it."""
    await publish(functions, objects, "ends")
    objects.alias("ends", "live", "1", **provisioned(1))
    await eventually(lambda: has(objects, {("live", "1"): 1}))
    objects.alias("ends", "live", "1")
    await eventually(lambda: has(objects, {}))
    await objects.until(ALIASES, "ends-live", lambda status: "provisionedConcurrency" not in status)


async def test_an_alias_with_a_weight_provisions_both_versions(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """By weight, and no environment more than asked for."""
    await publish(functions, objects, "split", 2)
    weights = {"additionalVersionWeights": {"2": 0.25}}
    objects.alias("split", "live", "1", routingConfig=weights, **provisioned(4))
    await eventually(lambda: has(objects, {("live", "1"): 3, ("live", "2"): 1}))
    selector = (await objects.routed("split-live", "1"))["selector"]
    assert selector.endswith("kubelambda.dev/version in (1,2)")
