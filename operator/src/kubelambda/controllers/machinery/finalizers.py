"""Finalizers: what keeps an object from going while somebody needs it."""

from collections.abc import Callable
from typing import Any

from kubelambda.controllers.machinery import unseen
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import Resource


async def users_of[U](
    context: Context, key: Key, body: Object, finalizer: str, known: Callable[[], U], *watches: Watch[Any]
) -> U:
    """Who uses an object: `known` tells that by what events have shown.

    Before one goes that nobody is known to use, the objects of `watches` in its namespace are asked for: its user may
    have been made a moment before it was deleted. Raises `KubeError`.
    """
    users, metadata = known(), body["metadata"]
    if users or "deletionTimestamp" not in metadata or finalizer not in (metadata.get("finalizers") or []):
        return users
    for watch in watches:
        await unseen.take_in(context, key, watch, key.namespace)
    return known()


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
