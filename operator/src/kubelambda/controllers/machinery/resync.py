"""The periodic resync: lists everything anew, drops what vanished unseen, and looks at every key again."""

import asyncio
import logging
import random

from kubelambda.api import labels
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.cluster_state import function_facts, namespace_facts
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.kube.errors import KubeError
from kubelambda.kube.resources import DEPLOYMENTS, FUNCTIONS, NAMESPACES, NETWORK_POLICIES, RUNTIMES

INTERVAL_S = 300.0
_EVENT_DELAY_S = 10.0
"""How long an event may come after the list that already shows its change."""

log = logging.getLogger(__name__)


async def load(context: Context) -> int:
    """Replaces what we know by what there is; how many Functions were not as known.

    Namespaces and runtimes come first, so that no function misses its own.
    """
    await _load_namespaces(context)
    await _load_runtimes(context)
    surprises = await _load_functions(context)
    await _load_children(context)
    return surprises


async def run(context: Context) -> None:
    """Resyncs for ever."""
    while True:
        await asyncio.sleep(INTERVAL_S * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
        last_event = context.last_event
        try:
            surprises = await load(context)
        except KubeError as error:
            log.warning("the resync waits for the API server: %s", error)
            continue
        if surprises:
            await asyncio.sleep(_EVENT_DELAY_S)
            context.deaf = context.last_event == last_event
            log.log(logging.ERROR if context.deaf else logging.INFO, "%d changes came without an event", surprises)


async def _load_namespaces(context: Context) -> None:
    seen = set()
    async for body in context.client.each(NAMESPACES):
        seen.add(body["metadata"]["name"])
        changes.take_in_namespace(context, body["metadata"]["name"], namespace_facts(body))
    for name in set(context.state.namespaces) - seen:
        changes.take_in_namespace(context, name, None)


async def _load_runtimes(context: Context) -> None:
    seen = set()
    async for body in context.client.each(RUNTIMES):
        name = body["metadata"]["name"]
        seen.add(name)
        changes.take_in_runtime(context, name, body)
        context.queue.add(Key("Runtime", "", name), changes.COUNT_DELAY_S)
    for name in set(context.state.runtimes) - seen:
        changes.take_in_runtime(context, name, None)


async def _load_functions(context: Context) -> int:
    """What needs work is due at once; what does not is looked at in the course of the interval."""
    known = set(context.state.names())
    surprises = 0
    async for body in context.client.each(FUNCTIONS):
        metadata = body["metadata"]
        name = (metadata["namespace"], metadata["name"])
        known.discard(name)
        view = function_facts(body)
        before = context.state.function(*name)
        surprises += before is None or before.generation < view.generation
        changes.take_in_function(context, *name, view)
        pause = random.uniform(0, INTERVAL_S) if view.settled else 0.0  # noqa: S311 - jitter
        context.queue.add(changes.function_key(*name), pause)
    for name in known:
        # Listed page by page, so a Function may have come meanwhile: looking at it tells.
        surprises += 1
        context.queue.add(changes.function_key(*name))
    return surprises


async def _load_children(context: Context) -> None:
    """Pools and policies, also those whose last function went while nobody looked."""
    pools = {(ns, view.runtime) for ns, found in context.state.functions.items() for view in found.values()}
    async for body in context.client.each(DEPLOYMENTS, label_selector=labels.POOL):
        pools.add((body["metadata"]["namespace"], body["metadata"]["labels"][labels.POOL]))
    for namespace, runtime in pools:
        if runtime:
            context.queue.add(Key("Pool", namespace, runtime))
    policies = set(context.state.functions)
    async for body in context.client.each(NETWORK_POLICIES, label_selector=f"{labels.MANAGED_BY}={labels.MANAGER}"):
        policies.add(body["metadata"]["namespace"])
    for namespace in policies:
        context.queue.add(Key("Namespace", namespace, namespace))
