"""What no event showed yet is not taken for absent: whoever makes it names it in the next moment."""

import copy
from typing import Any, cast

import pytest
from tests.unit.controllers.clusters import NOBODY, Named, Written, asker, body_of, context_of, spec_of

from kubelambda.api import labels
from kubelambda.api.reasons import Reason
from kubelambda.controllers.account.namespace_facts import WATCHED_NAMESPACES
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.function.function_layers import layers_of
from kubelambda.controllers.layer.layer_facts import WATCHED_LAYER_VERSIONS
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.work_queue import BackOff, Key
from kubelambda.core.code.layer_reference import layer_version_arn, layer_version_name
from kubelambda.core.function.object_name import object_names
from kubelambda.core.function.observation import Problem
from kubelambda.kube.resources import (
    ACCESS_POINTS,
    ALIASES,
    EVENT_SOURCE_MAPPINGS,
    FUNCTIONS,
    INVOKE_ENDPOINTS,
    LAYER_VERSIONS,
    LAYERS,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    RUNTIMES,
    SECURITY_GROUPS,
    SERVICES,
    SUBNETS,
    Resource,
)

OWNER, GUEST = "111111111111", "222222222222"
SIGNATURE = "f" * 64
SHARED = {"version": 1, "statementId": "all", "principal": "*"}


class Store:
    """In the place of a code store."""

    def upload_signature(self, *_: str) -> str:
        """Of everybody."""
        return SIGNATURE

    async def publish(self, *_: object) -> None:
        """It has the archive."""


STATE = CodeState(cast("Any", Store()), NOBODY)


def cluster_wide(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """An object of no namespace."""
    return {"metadata": {"name": name, "uid": f"uid-of-{name}", "resourceVersion": "1"}, "spec": spec}


NAMESPACE: Named = NAMESPACES, cluster_wide("a", {})


def function(**more: Any) -> Named:
    """It names something."""
    return FUNCTIONS, body_of("f", spec_of(**more).model_dump(mode="json", by_alias=True, exclude_none=True))


def access_point(reason: str | None = "FileSystemReady") -> Named:
    """One that can be mounted, or cannot for a `reason`; None: it was not looked at yet."""
    fine = "True" if reason == "FileSystemReady" else "False"
    ready = {"type": "Ready", "status": fine, "reason": reason, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = {"observedGeneration": 1, "conditions": [ready]} if reason else {}
    return ACCESS_POINTS, body_of("data", {"persistentVolumeClaim": "c"}, status=status)


def mapping() -> Named:
    """Of function `f`."""
    return EVENT_SOURCE_MAPPINGS, body_of(
        "m", {"functionName": "f:live", "eventSourceArn": "arn:aws:sqs:us-east-1:111111111111:q"}
    )


def alias() -> Named:
    """Of function `f`."""
    return ALIASES, body_of("f-live", {"functionName": "f", "name": "live", "functionVersion": "$LATEST"})


def deployed(name: str = "f") -> Named:
    """A function that runs."""
    spec = {"functionName": "f"} if name != "f" else {}
    return FUNCTIONS, body_of(name, spec, status={"deployed": {"runtime": "python3.13"}})


def endpoint_service() -> Named:
    """What leads to endpoint `e`."""
    mark = {"labels": {labels.INVOKE_ENDPOINT: "uid-of-e"}}
    return SERVICES, body_of("e", {"clusterIP": "10.0.0.1"}, metadata=mark)


RUNTIME: Named = RUNTIMES, cluster_wide("python3.13", {"image": "i", "inlineFileName": "index.py"})
SUBNET: Named = SUBNETS, body_of("s", {})
GROUP: Named = SECURITY_GROUPS, body_of("g", {})
IN_NETWORK = {"vpcConfig": {"subnetIds": ["s"], "securityGroupIds": ["g"]}}
MOUNTED = {
    "fileSystemConfigs": [
        {"arn": "arn:aws:elasticfilesystem:us-east-1:1:access-point/data", "localMountPath": "/mnt/data"}
    ]
}


@pytest.mark.parametrize(
    ("what", "named", "others", "absent"),
    [
        pytest.param(function(), RUNTIME, (), "RuntimeNotFound", id="runtime"),
        pytest.param(function(**IN_NETWORK), SUBNET, (RUNTIME, GROUP), "InvalidSubnet", id="subnet"),
        pytest.param(function(**IN_NETWORK), GROUP, (RUNTIME, SUBNET), "InvalidSecurityGroup", id="group"),
        pytest.param(function(**MOUNTED), access_point(), (RUNTIME,), "FileSystemUnavailable", id="access point"),
        pytest.param(mapping(), deployed(), (), "FunctionNotFound", id="function of a mapping"),
        pytest.param(mapping(), deployed(object_names("f")[1]), (), "FunctionNotFound", id="function by another name"),
        pytest.param(alias(), deployed(), (), "FunctionNotFound", id="function of an alias"),
        pytest.param(
            (INVOKE_ENDPOINTS, body_of("e", {})), deployed(), (endpoint_service(),), "NoFunctions", id="any function"
        ),
    ],
)
async def test_an_object_may_name_another_that_was_just_made(
    what: Named, named: Named, others: tuple[Named, ...], absent: str
) -> None:
    """No status says that it is absent. Where it is, that is asked once: an event would tell."""
    resource, body = what
    key = Key(resource.kind, "a", body["metadata"]["name"])

    async def reasons(*found: Named) -> set[str]:
        client = Written(*copy.deepcopy(found))
        context = context_of(client, STATE)
        controller = next(each for each in context.controllers if each.kind == resource.kind)
        await controller.reconcile(context, key)
        asked = client.reads.count(named[0])
        await controller.reconcile(context, key)
        own = named[0] is resource
        assert client.reads.count(named[0]) - asked == own, "nothing more is to be heard than events tell"
        return {each["reason"] for status in client.statuses for each in status["conditions"]}

    assert absent not in await reasons(NAMESPACE, what, *others, named)
    assert absent in await reasons(NAMESPACE, what, *others)


def claim() -> Named:
    """A volume for many."""
    return PERSISTENT_VOLUME_CLAIMS, body_of("c", {"accessModes": ["ReadWriteMany"]})


@pytest.mark.parametrize(
    ("found", "state", "code"),
    [
        pytest.param((access_point(),), "Active", None, id="ready"),
        pytest.param((access_point(reason=None),), "Pending", "Creating", id="not looked at yet"),
        pytest.param((access_point(reason="ClaimMissing"), claim()), "Pending", "Creating", id="claim has come"),
        pytest.param((access_point(reason="ClaimMissing"),), "Failed", "EFSMountFailure", id="no claim"),
        pytest.param((access_point(reason="ClaimLost"), claim()), "Failed", "EFSMountFailure", id="useless claim"),
    ],
)
async def test_a_function_waits_for_what_may_be_mounted_in_a_moment(
    found: tuple[Named, ...], state: str, code: str | None
) -> None:
    """Its access point was made just before it, or the claim of that: nothing tells of claims, so it is looked for."""
    client = Written(NAMESPACE, RUNTIME, function(**MOUNTED), *found)
    context, key = context_of(client, STATE), Key("Function", "a", "f")
    controller = next(each for each in context.controllers if each.kind == key.kind)
    outcome = await controller.reconcile(context, key)
    assert {(status["state"], status.get("stateReasonCode")) for status in client.statuses} == {(state, code)}
    assert isinstance(outcome, BackOff) is (state == "Pending"), "whatever becomes of it, it does not wait for ever"
    looked_for = client.reads.count(PERSISTENT_VOLUME_CLAIMS)
    assert looked_for == any("ClaimMissing" in str(body) for _, body in found)
    again = Key("AccessPoint", "a", "data")
    if looked_for and state == "Pending":
        assert again in context.queues.of("AccessPoint")._due
    await controller.reconcile(context, key)
    assert {status["state"] for status in client.statuses} == {state}, "nobody has looked at the access point since"
    again_looked_for = looked_for and state == "Pending"
    assert client.reads.count(PERSISTENT_VOLUME_CLAIMS) == looked_for + again_looked_for


@pytest.mark.parametrize(
    ("status", "state"),
    [
        pytest.param({}, "Pending", id="not looked at yet"),
        pytest.param({"observedGeneration": 1, "conditions": [{"reason": "InProgress"}]}, "Pending", id="fetched"),
        pytest.param({"observedGeneration": 1, "conditions": [{"reason": "Published"}]}, "Failed", id="published"),
    ],
)
async def test_a_function_waits_for_a_layer_that_is_being_published(status: dict[str, Any], state: str) -> None:
    """Both were applied together. What is published by now is all that there is of it."""
    layer: Named = LAYERS, body_of("l", {}, status=status)
    client = Written(NAMESPACE, RUNTIME, function(layers=["l:1"]), layer)
    context, key = context_of(client, STATE), Key("Function", "a", "f")
    controller = next(each for each in context.controllers if each.kind == key.kind)
    outcome = await controller.reconcile(context, key)
    assert [status["state"] for status in client.statuses] == [state]
    assert isinstance(outcome, BackOff) is (state == "Pending"), "another version may be published than the one named"


async def test_a_layer_that_was_published_while_its_function_asked_for_it_is_not_absent() -> None:
    """Its version was asked for before it was there, and the layer when there was nothing more to come."""
    content = {"sha256": "d" * 64, "size": 1, "unzippedSize": 1, "signature": SIGNATURE}
    version = body_of(layer_version_name("l", 1), {"layerName": "l", "version": 1, "content": content})
    layer = body_of("l", {}, status={"observedGeneration": 1, "conditions": [{"reason": "Published"}]})

    class Publishing(Written):
        async def find(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any] | None:
            if resource is LAYERS:
                await changes.observe(context, WATCHED_LAYER_VERSIONS, version)
            return await super().find(resource, name, namespace)

    client = Publishing(NAMESPACE, RUNTIME, function(layers=["l:1"]), (LAYERS, layer))
    context, key = context_of(client, STATE), Key("Function", "a", "f")
    controller = next(each for each in context.controllers if each.kind == key.kind)
    await controller.reconcile(context, key)
    assert [status["state"] for status in client.statuses] == ["Pending"]
    assert key in context.queues.of(key.kind)._due


async def test_an_object_that_names_another_from_now_on_asks_for_that() -> None:
    """What it is asked for again is the object as it is after a change, or another of its name."""
    resource, body = mapping()
    client = Written(NAMESPACE, (resource, body))
    context, key = context_of(client), Key(resource.kind, "a", "m")
    controller = next(each for each in context.controllers if each.kind == resource.kind)
    asked = []
    for change in ({}, {"generation": 2}, {}, {"uid": "another"}):
        body["metadata"].update(change)
        await controller.reconcile(context, key)
        asked.append(client.reads.count(FUNCTIONS))
    assert asked == [2, 4, 4, 6]


@pytest.mark.parametrize(("namespace", "account"), [("a", OWNER), ("b", GUEST)])
async def test_a_function_may_name_a_layer_version_that_was_just_published(namespace: str, account: str) -> None:
    """Its own account's, and another's that shares it; a function that had failed for a moment has failed for those
    who wait for it to be active."""
    content = {"sha256": "d" * 64, "size": 1, "unzippedSize": 1, "signature": SIGNATURE}
    version = body_of(layer_version_name("l", 1), {"layerName": "l", "version": 1, "content": content})
    layer = body_of("l", {"permissions": [SHARED]}, status={"observedGeneration": 1})
    context = context_of(Written((LAYER_VERSIONS, version), (LAYERS, layer)))
    for name, claimed in (("a", OWNER), ("b", GUEST)):
        metadata = {"name": name, "uid": name, "resourceVersion": "1", "annotations": {labels.ACCOUNT_ID: claimed}}
        await changes.observe(context, WATCHED_NAMESPACES, {"metadata": metadata})

    async def found(number: int) -> Any:
        arn = layer_version_arn(context.settings.region, OWNER, "l", number)
        return await layers_of(
            STATE, context, asker(namespace), spec_of(layers=[arn]), account=account, code=None, before=None
        )

    assert [each.sha256 for each in await found(1)] == ["d" * 64]
    absent = await found(2)
    assert isinstance(absent, Problem)
    assert absent.reason is Reason.LAYER_NOT_FOUND
