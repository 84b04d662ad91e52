"""Objects that a controller wants to be as it says, and follows itself: written only where they are not."""

import contextlib
import hashlib
import json
from sys import intern
from typing import Any

from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.controllers.machinery.watched import Watch, name_of
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.kube.errors import NotFound
from kubelambda.kube.kube_client import Object


def content(said: Any) -> str:
    """A digest of what a manifest says, for the facts of objects that are kept: many say the same."""
    return intern(hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest())


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


async def remove(context: Context, watch: Watch[Any], namespace: str, name: str, *, by: Key) -> None:
    """Deletes an object, if it is there, and takes in that it is gone: it is no news for `by`, the key at work.

    Raises `KubeError`.
    """
    known = context.cluster[watch].seen(namespace, name)
    with contextlib.suppress(NotFound):
        await context.client.delete(watch.resource, name, namespace)
    if known is not None:
        changes.forget(context, watch, namespace, name, uid=known.uid, by=by)
