"""Objects that a controller wants to be as it says, and follows itself: written only where they are not."""

from typing import Any

from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.controllers.machinery.watched import Watch, name_of
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.kube.kube_client import Object


async def keep(context: Context, watch: Watch[Any], manifest: Object, *, by: Key) -> None:
    """Applies `manifest`, unless the object is known to be so already, and takes in how it is after that: it is no news
    for `by`, the key at work.

    The watch's facts must be all that the manifest says. Whoever changes the object is heard of, and what came of that
    is then known. Raises `KubeError`.
    """
    if context.cluster[watch].get(*name_of(manifest)) == watch.facts(manifest):
        return
    body = await context.client.apply(watch.resource, manifest, manager=FIELD_MANAGER)
    await changes.observe(context, watch, body, by=by)


def drop(context: Context, watch: Watch[Any], namespace: str, name: str, *, by: Key) -> None:
    """Takes in that `by`, the key at work, deleted an object, or found that it is gone."""
    known = context.cluster[watch].seen(namespace, name)
    if known is not None:
        changes.forget(context, watch, namespace, name, uid=known.uid, by=by)
