"""Finalizers: what keeps an object from going while somebody needs it."""

from kubelambda.controllers.machinery.context import Context
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import Resource


async def hold(context: Context, resource: Resource, body: Object, finalizer: str, *, held: bool) -> Object:
    """The object, with our finalizer or without: as it is, or after a patch. None is added to one that is to go.

    An object that nobody needs should have none: it needs no operator to go. Raises `KubeError`.
    """
    metadata = body["metadata"]
    before: list[str] = metadata.get("finalizers") or []
    rest = [each for each in before if each != finalizer]
    if (len(rest) < len(before)) == held or (held and "deletionTimestamp" in metadata):
        return body
    after = [*rest, finalizer] if held else rest
    patch = {"metadata": {"finalizers": after, "resourceVersion": metadata["resourceVersion"]}}
    return await context.client.patch(resource, metadata["name"], patch, metadata["namespace"])
