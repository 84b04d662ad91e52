"""Objects that no event showed yet: who makes one names it in the next moment, and each kind has a watch of its own.

They are asked for before anybody says that they are absent. What is made after that, an event tells.
"""

from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.asked import Asker
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.kube.resources import Resource


async def find[F](context: Context, asker: Asker, watch: Watch[F], namespace: str, *names: str) -> F | None:
    """An object that `asker` names, whichever of `names` it has. Raises `KubeError`."""
    for name in names:
        known = context.cluster[watch].get(namespace, name)
        if known is not None:
            return known
    for name in names:
        found = await read(context, asker, watch, namespace, name)
        if found is not None:
            return found
    return None


async def read[F](context: Context, asker: Asker, watch: Watch[F], namespace: str, name: str) -> F | None:
    """The same, where what is known of the object is not enough: it may have been changed. Raises `KubeError`."""
    what = (watch, namespace, name)
    if not context.asked.before(asker, what):
        body = await context.client.find(watch.resource, name, namespace or None)
        if body is not None:
            await changes.observe(context, watch, body, by=asker.key)
        context.asked.remember(asker, what)
    return context.cluster[watch].get(namespace, name)


async def exists(context: Context, asker: Asker, resource: Resource, namespace: str, name: str) -> bool:
    """Whether there is an object that nobody watches; False when there was none as `asker` asked. Raises `KubeError`.

    One that is there is asked for each time, until whoever said that it is missing has looked once more.
    """
    what = (resource, namespace, name)
    if context.asked.before(asker, what):
        return False
    found = await context.client.find(resource, name, namespace)
    if found is None:
        context.asked.remember(asker, what)
    return found is not None


async def read_all[F](context: Context, asker: Asker, watch: Watch[F], namespace: str, why: str) -> bool:
    """Takes in all objects of a namespace: for what `asker` does not name by the names of objects.

    False when it did that for the same reason. Raises `KubeError`.
    """
    what = (watch, namespace, why)
    if context.asked.before(asker, what):
        return False
    await take_in(context, asker.key, watch, namespace)
    context.asked.remember(asker, what)
    return True


async def take_in[F](context: Context, by: Key, watch: Watch[F], namespace: str) -> None:
    """Takes in all objects of a namespace, whoever asked before. Raises `KubeError`."""
    async for body in context.client.each(watch.resource, namespace):
        await changes.observe(context, watch, body, by=by)
