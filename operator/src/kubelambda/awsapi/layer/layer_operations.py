"""PublishLayerVersion, GetLayerVersion, ListLayers, ListLayerVersions and DeleteLayerVersion."""

import asyncio
import time
import uuid
from collections.abc import Mapping
from typing import Any, Final

from kubelambda.awsapi.api_error import invalid_parameter, unavailable
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function import received_code
from kubelambda.awsapi.function.function_reads import code_address
from kubelambda.awsapi.layer import layer_policies
from kubelambda.awsapi.layer.layer_answers import is_compatible, listed_version, whole_version
from kubelambda.awsapi.layer.layer_objects import (
    LayerName,
    find_layer,
    find_layer_version,
    find_layer_version_object,
    layer_named,
    layer_versions_of,
    readable_layer_named,
)
from kubelambda.awsapi.object_writes import WRITE, delete, write_spec
from kubelambda.awsapi.refusal import refusal
from kubelambda.awsapi.version.version_operations import page_of
from kubelambda.core.code.layer_reference import layer_arn, layer_object_name
from kubelambda.kube.errors import Conflict, KubeError
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import LAYER_VERSIONS, LAYERS

PAGE_MAX: Final = 50
_PUBLISHED_S: Final = 25.0
"""How long the operator may take: less than callers wait for an answer."""
_POLL_S: Final = 0.05
_MEMBERS: Final = {
    "Description": "description",
    "LicenseInfo": "licenseInfo",
    "CompatibleRuntimes": "compatibleRuntimes",
    "CompatibleArchitectures": "compatibleArchitectures",
}


async def publish_layer_version(services: Services, call: Call) -> Answer:
    """Another version of a layer, also of the same content: the Layer says what it is, the operator makes it."""
    name = layer_named(services, call)
    code = await received_code.received(services, name.account.namespace, call.parameters["Content"])
    if code is not None:
        await received_code.upload(services, code)
    stored = code.stored(services, name.account.namespace) if code else None
    content = received_code.source(call.parameters["Content"], stored)
    revision = str(uuid.uuid4())
    spec = {ours: call.parameters[theirs] for theirs, ours in _MEMBERS.items() if theirs in call.parameters}
    written = await _written(services, name, {**spec, "content": content, "revision": revision})
    if code is not None:
        await received_code.upload(services, code)  # again: it may have been collected before the object named it
    body = await _published(services, name, written, revision)
    return _whole(services, call, name, body)


async def _written(services: Services, name: LayerName, spec: Mapping[str, Any]) -> Object:
    """The Layer with that spec. One whose last change is not published yet is waited for: nothing is skipped."""
    if await find_layer(services, name) is None:
        object_name = layer_object_name(name.layer)
        manifest = {
            "apiVersion": LAYERS.api_version,
            "kind": LAYERS.kind,
            "metadata": {"name": object_name},
            "spec": spec if object_name == name.layer else {"layerName": name.layer, **spec},
        }
        try:
            return await services.client.create(LAYERS, manifest, name.account.namespace, query=WRITE)
        except Conflict:
            pass  # somebody was quicker
        except KubeError as error:
            raise refusal(error) from error
    deadline = time.monotonic() + _PUBLISHED_S

    async def settled() -> Object:
        while True:
            body = await find_layer(services, name)
            if body is None:
                raise unavailable(f"The layer was deleted meanwhile: {name.arn}")
            if (body.get("status") or {}).get("observedGeneration") == body["metadata"]["generation"]:
                return body
            if time.monotonic() > deadline:
                raise unavailable(f"Another version is being published: {name.arn}")
            await asyncio.sleep(_POLL_S)

    def change(body: Object) -> Mapping[str, Any]:
        kept = {field: value for field, value in body["spec"].items() if field in ("layerName", "permissions")}
        return {**kept, **spec}

    return await write_spec(services, LAYERS, name.arn, settled, change)


async def _published(services: Services, name: LayerName, written: Object, revision: str) -> Object:
    """The version that the operator made of the Layer as it was written. Raises `ApiError`."""
    deadline = time.monotonic() + _PUBLISHED_S
    generation: int = written["metadata"]["generation"]
    while True:
        for body in await layer_versions_of(services, name.account, name.layer):
            if body["spec"].get("revision") == revision:
                return body
        layer = await find_layer(services, name)
        status = (layer or {}).get("status") or {}
        stalled = next((each for each in status.get("conditions") or () if each["type"] == "Stalled"), None)
        if stalled is not None and (status.get("observedGeneration") or 0) >= generation:
            raise invalid_parameter(stalled["message"])
        if time.monotonic() > deadline:
            raise unavailable(f"The version was not published in time: {name.arn}")
        await asyncio.sleep(_POLL_S)


async def get_layer_version(services: Services, call: Call) -> Answer:
    """One version, by name and number or by ARN, with an address of its archive; of any account that shares it."""
    name = await readable_layer_named(services, call)
    return _whole(services, call, name, await find_layer_version(services, name))


def _whole(services: Services, call: Call, name: LayerName, body: Object) -> Answer:
    location = code_address(services, call, body["spec"]["content"]["sha256"])
    members = whole_version(body, name.region, name.account.id, location)
    return Answer(members, resource=members["LayerVersionArn"])


async def list_layer_versions(services: Services, call: Call) -> Answer:
    """Versions of a layer, the newest first; none of a layer that is not there."""
    name = layer_named(services, call)
    found = [
        listed_version(body, name.region, name.account.id)
        for body in await layer_versions_of(services, name.account, name.layer)
        if is_compatible(body, call.parameters)
    ]
    return Answer(page_of(call, "LayerVersions", found, PAGE_MAX), resource=name.arn)


async def list_layers(services: Services, call: Call) -> Answer:
    """Layers by name, each with its newest version that is asked for."""
    region, account = services.settings.region, call.caller.id
    newest: dict[str, Object] = {}
    for body in await layer_versions_of(services, call.caller):
        if is_compatible(body, call.parameters):
            newest.setdefault(body["spec"]["layerName"], body)
    found = [
        {
            "LayerName": layer,
            "LayerArn": layer_arn(region, account, layer),
            "LatestMatchingVersion": listed_version(newest[layer], region, account),
        }
        for layer in sorted(newest)
    ]
    return Answer(page_of(call, "Layers", found, PAGE_MAX))


async def delete_layer_version(services: Services, call: Call) -> Answer:
    """The version; one that is not there is gone already. Functions that use it keep it until they use it no more."""
    name = layer_named(services, call)
    body = await find_layer_version_object(services, name)
    if body is not None:
        await delete(services, LAYER_VERSIONS, body)
    return Answer(None, resource=name.version_arn)


OPERATIONS: Final[Mapping[str, Handler]] = {
    "PublishLayerVersion": publish_layer_version,
    "GetLayerVersion": get_layer_version,
    "GetLayerVersionByArn": get_layer_version,
    "ListLayers": list_layers,
    "ListLayerVersions": list_layer_versions,
    "DeleteLayerVersion": delete_layer_version,
    **layer_policies.OPERATIONS,
}
