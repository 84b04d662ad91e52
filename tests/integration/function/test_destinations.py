"""Destinations that name EventTargets: each kind of object with destinations says whether these are there (§6.7)."""

from tests.integration.function.objects import Objects
from tests.integration.functions import Functions, condition, told
from tests.integration.processes import Installation

from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import (
    ALIASES,
    EVENT_SOURCE_MAPPINGS,
    EVENT_TARGETS,
    FUNCTION_VERSIONS,
    FUNCTIONS,
    Resource,
)

CONFIG = {"destinationConfig": {"onFailure": {"destination": "sink"}}}
STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
NAMED: tuple[tuple[Resource, str], ...] = (
    (FUNCTIONS, "shop"),
    (FUNCTION_VERSIONS, "shop-1"),
    (ALIASES, "shop-live"),
    (EVENT_SOURCE_MAPPINGS, "orders"),
)


async def test_who_names_a_target_says_whether_it_is_there(
    running: Installation, functions: Functions, objects: Objects
) -> None:
    """When it is not, when it comes, when it is no place of its own, and when it goes: no other word changes by it."""
    functions.apply("shop", publish=True, eventInvokeConfig=CONFIG)
    await objects.version("shop-1")
    await objects.client.patch(FUNCTION_VERSIONS, "shop-1", {"spec": {"eventInvokeConfig": CONFIG}}, objects.namespace)
    objects.alias("shop", "live", "1", eventInvokeConfig=CONFIG)
    source = {"functionName": "shop", "eventSourceArn": STREAM, "startingPosition": "LATEST"}
    objects.apply(EVENT_SOURCE_MAPPINGS, "orders", {**source, **CONFIG})

    async def say(status: str, text: str) -> dict[str, Object]:
        def holds(found: Object) -> bool:
            said = condition(found, "DestinationsReady")
            return (said.get("status"), said.get("message")) == (status, text)

        return {resource.kind: await objects.until(resource, name, holds) for resource, name in NAMED}

    found = await say("False", "there is no EventTarget sink")
    assert {kind: condition(each, "Ready")["status"] for kind, each in found.items()} == {
        "Function": "False",
        "FunctionVersion": "True",
        "Alias": "True",
        "EventSourceMapping": "Unknown",
    }
    assert condition(found["Function"], "Ready")["reason"] == "TargetNotFound"
    assert (found["Function"]["state"], found["Function"]["lastUpdateStatus"]) == ("Active", "Successful")
    objects.apply(EVENT_TARGETS, "sink", {"aws": {"services": ["sqs"]}})
    await say("False", "EventTarget sink has no arn: it can only be where other ARNs are")
    objects.apply(EVENT_TARGETS, "sink", {"aws": None, "http": {"url": "http://sink.example.com"}})
    found = await say("True", "sink")
    assert condition(found["Function"], "Ready")["status"] == "True"
    await objects.client.delete(EVENT_TARGETS, "sink", objects.namespace)
    await say("False", "there is no EventTarget sink")
    for resource, name in NAMED:
        for reason in ("TargetNotFound", "TargetsFound"):
            await told(objects.client, resource.kind, name, objects.namespace, reason)
    functions.apply("shop", publish=True)
    await functions.until("shop", lambda status: condition(status, "Ready").get("status") == "True")
    assert condition(await functions.status("shop"), "DestinationsReady") == {}
