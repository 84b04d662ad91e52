"""The Layer object of a name, and its permissions."""

from collections.abc import Mapping
from typing import Any

from kubelambda.core.code.layer_reference import layer_name_of, layer_object_name
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import LAYERS


async def layer_object(client: KubeClient, namespace: str, layer: str) -> Object | None:
    """The Layer of a namespace that Lambda calls so, whatever it is called there."""
    body = await client.find(LAYERS, layer_object_name(layer), namespace)
    if body is not None and layer_name_of(body) == layer:
        return body
    found, _ = await client.page(LAYERS, namespace, limit=1, field_selector=f"spec.layerName={layer}")
    return next(iter(found), None)


async def version_permissions(
    client: KubeClient, namespace: str, layer: str, number: int | None
) -> list[Mapping[str, Any]]:
    """The permissions of one version of a layer; none of one that is not there."""
    body = await layer_object(client, namespace, layer)
    permissions = (body["spec"].get("permissions") if body is not None else None) or ()
    return [each for each in permissions if each["version"] == number]
