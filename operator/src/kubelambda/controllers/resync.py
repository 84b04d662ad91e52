"""The periodic resync: lists everything anew, drops what vanished unseen, and looks at every key again (KOPF §7)."""

import asyncio
import logging
import random

from kubelambda.controllers.cluster_state import function_view
from kubelambda.controllers.context import Context
from kubelambda.controllers.queue import Key
from kubelambda.controllers.watches import observe_namespace
from kubelambda.kube.errors import KubeError
from kubelambda.kube.resources import FUNCTIONS, NAMESPACES, RUNTIMES

INTERVAL_S = 300.0

log = logging.getLogger(__name__)


async def load(context: Context) -> None:
    """Replaces what we know by what there is. Before the first event, so that no function misses its runtime."""
    namespaces = {item["metadata"]["name"]: item for item in (await context.client.list(NAMESPACES))["items"]}
    for name in set(context.state.namespaces) - set(namespaces):
        observe_namespace(context, name, None)
    for name, body in namespaces.items():
        observe_namespace(context, name, body)
    runtimes = {item["metadata"]["name"]: item for item in (await context.client.list(RUNTIMES))["items"]}
    for name in set(context.state.runtimes) | set(runtimes):
        context.queue.add(Key("Runtime", "", name))
    context.state.runtimes.update({name: body for name, body in runtimes.items() if name not in context.state.runtimes})
    functions = {
        (item["metadata"]["namespace"], item["metadata"]["name"]): item
        for item in (await context.client.list(FUNCTIONS))["items"]
    }
    for namespace, name in set(context.state.functions) | set(functions):
        context.queue.add(Key("Function", namespace, name), random.uniform(0, 2))  # noqa: S311 - jitter
        if (namespace, name) in functions:
            context.state.functions.setdefault((namespace, name), function_view(functions[namespace, name]))
    for namespace, runtime in {(key[0], view.runtime) for key, view in context.state.functions.items()}:
        if runtime:
            context.queue.add(Key("Pool", namespace, runtime))
    for namespace in {key[0] for key in context.state.functions}:
        context.queue.add(Key("Namespace", namespace, namespace))


async def run(context: Context) -> None:
    """Resyncs for ever."""
    while True:
        await asyncio.sleep(INTERVAL_S * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
        try:
            await load(context)
        except KubeError as error:
            log.warning("the resync waits for the API server: %s", error)
