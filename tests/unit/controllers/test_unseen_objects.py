"""What no event showed yet is not taken for absent: whoever makes it names it in the next moment."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from tests.unit.controllers.clusters import NOBODY, body_of, context_of

from kubelambda.api import labels
from kubelambda.api.kinds.function import FunctionSpec
from kubelambda.api.reasons import Reason
from kubelambda.controllers.account.namespace_facts import WATCHED_NAMESPACES
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.function.function_layers import layers_of
from kubelambda.controllers.function.function_signing import signing_of
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.core.code.layer_reference import layer_version_arn, layer_version_name
from kubelambda.core.function.observation import Problem
from kubelambda.kube.resources import CODE_SIGNING_CONFIGS, LAYER_VERSIONS, LAYERS, Resource

OWNER, GUEST = "111111111111", "222222222222"
SIGNATURE = "f" * 64
SHARED = {"version": 1, "statementId": "all", "principal": "*"}
CONFIG = "csc-abcdefghij0123456"


class Written:
    """In the place of a client: what the API server has, all of it in namespace `a`."""

    def __init__(self, found: dict[Resource, dict[str, Any]]) -> None:
        self._found = found

    async def find(self, resource: Resource, name: str, namespace: str) -> dict[str, Any] | None:
        """An object."""
        body = self._found.get(resource)
        there = body is not None and (body["metadata"]["name"], body["metadata"]["namespace"]) == (name, namespace)
        return body if there else None

    async def each(self, resource: Resource, namespace: str) -> AsyncIterator[dict[str, Any]]:
        """All of a kind."""
        if resource in self._found and namespace == "a":
            yield self._found[resource]


class Store:
    """In the place of a code store."""

    def upload_signature(self, *_: str) -> str:
        """Of everybody."""
        return SIGNATURE


STATE = CodeState(cast("Any", Store()), NOBODY)


def spec_of(**more: Any) -> FunctionSpec:
    """A function's."""
    return FunctionSpec.model_validate(
        {"runtime": "python3.13", "handler": "index.handler", "code": {"inline": "x = 1"}, **more}
    )


@pytest.mark.parametrize(("namespace", "account"), [("a", OWNER), ("b", GUEST)])
async def test_a_function_may_name_a_layer_version_that_was_just_published(namespace: str, account: str) -> None:
    """Its own account's, and another's that shares it; a function that had failed for a moment has failed for those
    who wait for it to be active."""
    content = {"sha256": "d" * 64, "size": 1, "unzippedSize": 1, "signature": SIGNATURE}
    version = body_of(layer_version_name("l", 1), {"layerName": "l", "version": 1, "content": content})
    layer = body_of("l", {"permissions": [SHARED]})
    context = context_of(Written({LAYER_VERSIONS: version, LAYERS: layer}))
    for name, claimed in (("a", OWNER), ("b", GUEST)):
        metadata = {"name": name, "uid": name, "resourceVersion": "1", "annotations": {labels.ACCOUNT_ID: claimed}}
        await changes.observe(context, WATCHED_NAMESPACES, {"metadata": metadata})

    async def found(number: int) -> Any:
        arn = layer_version_arn(context.settings.region, OWNER, "l", number)
        return await layers_of(
            STATE, context, namespace, spec_of(layers=[arn]), account=account, code=None, before=None
        )

    assert [each.sha256 for each in await found(1)] == ["d" * 64]
    absent = await found(2)
    assert isinstance(absent, Problem)
    assert absent.reason is Reason.LAYER_NOT_FOUND


async def test_a_function_may_name_a_code_signing_configuration_that_was_just_made() -> None:
    """By its name and by ARN."""
    allowed = {"allowedPublishers": {"signingProfileVersionArns": ["arn:p"]}}
    context = context_of(Written({CODE_SIGNING_CONFIGS: body_of(CONFIG, allowed)}))

    async def found(reference: str) -> Any:
        spec = spec_of(codeSigningConfigArn=reference)
        key = Key("Function", "a", "f")
        return await signing_of(STATE, context, key, spec, account=OWNER, code=None, layers=(), before=None)

    absent = await found("absent")
    assert isinstance(absent, Problem)
    assert absent.reason is Reason.SIGNING_CONFIG_NOT_FOUND
    for reference in (CONFIG, f"arn:aws:lambda:{context.settings.region}:{OWNER}:code-signing-config:{CONFIG}"):
        assert await found(reference) is None
