"""What is to go stays for a user that no event showed yet: it was made a moment before."""

import copy

import pytest
from tests.unit.controllers.clusters import NOBODY, Named, Written, body_of, context_of

from kubelambda.api import labels
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.core.code.layer_reference import layer_version_name
from kubelambda.kube.resources import (
    ACCESS_POINTS,
    ALIASES,
    CODE_SIGNING_CONFIGS,
    FUNCTION_VERSIONS,
    FUNCTIONS,
    INVOKE_ENDPOINTS,
    LAYER_VERSIONS,
    NAMESPACES,
    SECURITY_GROUPS,
    SUBNETS,
    Resource,
)

NAMESPACE: Named = NAMESPACES, {"metadata": {"name": "a", "uid": "a", "resourceVersion": "1"}, "spec": {}}
CONTENT = {"sha256": "d" * 64, "size": 1, "unzippedSize": 1, "signature": "f" * 64}
PUBLISHERS: dict[str, object] = {"allowedPublishers": {"signingProfileVersionArns": []}}
POINT_ARN = "arn:aws:elasticfilesystem:us-east-1:1:access-point/it"


def going(resource: Resource, finalizer: str, name: str = "it", **more: object) -> Named:
    """Somebody has deleted it, and it is there for our sake."""
    metadata = {"finalizers": ["somebody/else", finalizer], "deletionTimestamp": "2026-01-01T00:00:01Z"}
    return resource, body_of(name, more.pop("spec", {}), metadata=metadata, **more)  # type: ignore[arg-type]


def function(**spec: object) -> Named:
    """It was made just before that."""
    return FUNCTIONS, body_of("f", spec)


VERSION = going(
    FUNCTION_VERSIONS,
    labels.VERSION_FINALIZER,
    spec={"functionName": "f"},
    status={"version": "1", "deployed": {"code": {"sha256": "d" * 64}}, "state": "Active", "observedGeneration": 1},
)
ALIAS: Named = ALIASES, body_of("f-live", {"functionName": "f", "name": "live", "functionVersion": "1"})
GROUP = going(SECURITY_GROUPS, labels.NETWORK_FINALIZER)
LAYER = going(
    LAYER_VERSIONS,
    labels.LAYER_VERSION_FINALIZER,
    layer_version_name("l", 1),
    spec={"layerName": "l", "version": 1, "content": CONTENT},
)


@pytest.mark.parametrize(
    ("what", "finalizer", "user", "others"),
    [
        pytest.param(LAYER, labels.LAYER_VERSION_FINALIZER, function(layers=["l:1"]), (), id="layer version"),
        pytest.param(
            going(CODE_SIGNING_CONFIGS, labels.CODE_SIGNING_FINALIZER, spec=PUBLISHERS),
            labels.CODE_SIGNING_FINALIZER,
            function(codeSigningConfigArn="it"),
            (),
            id="code signing configuration",
        ),
        pytest.param(
            going(ACCESS_POINTS, labels.ACCESS_POINT_FINALIZER, spec={"persistentVolumeClaim": "c"}),
            labels.ACCESS_POINT_FINALIZER,
            function(fileSystemConfigs=[{"arn": POINT_ARN, "localMountPath": "/mnt/it"}]),
            (),
            id="access point",
        ),
        pytest.param(
            going(SUBNETS, labels.NETWORK_FINALIZER),
            labels.NETWORK_FINALIZER,
            function(vpcConfig={"subnetIds": ["it"], "securityGroupIds": ["g"]}),
            (),
            id="subnet",
        ),
        pytest.param(
            GROUP,
            labels.NETWORK_FINALIZER,
            function(vpcConfig={"subnetIds": ["s"], "securityGroupIds": ["it"]}),
            (),
            id="group of a function",
        ),
        pytest.param(
            GROUP,
            labels.NETWORK_FINALIZER,
            (INVOKE_ENDPOINTS, body_of("e", {"securityGroupIds": ["it"]})),
            (),
            id="group of an endpoint",
        ),
        pytest.param(VERSION, labels.VERSION_FINALIZER, ALIAS, (function(),), id="version"),
    ],
)
async def test_what_is_deleted_stays_for_a_user_that_was_just_made(
    what: Named, finalizer: str, user: Named, others: tuple[Named, ...]
) -> None:
    """The user was told that there is such an object. Without one it goes, and stays for others."""

    async def held(*found: Named) -> bool:
        resource, body = copy.deepcopy(what)
        context = context_of(Written(NAMESPACE, (resource, body), *found), CodeState(NOBODY, NOBODY))
        controller = next(each for each in context.controllers if each.kind == resource.kind)
        await controller.reconcile(context, Key(resource.kind, "a", body["metadata"]["name"]))
        assert "somebody/else" in body["metadata"]["finalizers"]
        return finalizer in body["metadata"]["finalizers"]

    assert await held(*others, user)
    assert not await held(*others)


async def test_users_are_asked_for_only_where_nobody_is_known() -> None:
    """And only while the object is there for our sake."""
    resource, body = copy.deepcopy(LAYER)
    client = Written(NAMESPACE, (resource, body), function(layers=["l:1"]))
    context, key = context_of(client), Key(resource.kind, "a", body["metadata"]["name"])
    controller = next(each for each in context.controllers if each.kind == resource.kind)
    for _ in range(3):
        await controller.reconcile(context, key)
    assert client.reads.count(FUNCTIONS) == 1
    free = Written(NAMESPACE, (resource, body_of(body["metadata"]["name"], body["spec"])))
    await controller.reconcile(context_of(free), key)
    assert FUNCTIONS not in free.reads
