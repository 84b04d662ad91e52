"""Leading: what the operator that has the lease does, with kopf as its host for watches and signals."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from types import ModuleType

from kubelambda.controllers.machinery import resync
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.kube.errors import KubeError
from kubelambda.kube.lease import LeaderLease

_END_S = 8.0
"""How long kopf may take to end: it gives what it has begun five seconds."""

log = logging.getLogger(__name__)


type Beside = Callable[[], Coroutine[None, None, None]]
"""Something that only the leader does, until it is cancelled."""


async def lead(
    context: Context,
    lease: LeaderLease,
    kubeconfig: str | None,
    stop: asyncio.Event,
    *,
    beside: Sequence[Beside] = (),
) -> None:
    """Reads the cluster, then works off what changes, while the lease is held. Returns only by being cancelled."""
    reconcilers = {controller.kind: controller.reconcile for controller in context.controllers}

    async def reconcile(key: Key) -> Outcome:
        if not lease.held:
            raise RuntimeError("the lease is not ours any more")
        return await reconcilers[key.kind](context, key)

    async with asyncio.TaskGroup() as group:
        await _load(context)
        for controller in context.controllers:
            for key in controller.first_keys:
                context.queues.add(key)
        group.create_task(resync.run(context))
        group.create_task(resync.mind(context))
        for run in context.queues.runs(reconcile):
            group.create_task(run)
        for work in beside:
            group.create_task(work())
        group.create_task(_watch(context, kubeconfig, stop))


async def _load(context: Context) -> None:
    while True:
        try:
            await resync.load(context)
        except KubeError as error:
            log.warning("waiting for the API server: %s", error)
            await asyncio.sleep(1)
        else:
            return


async def _watch(context: Context, kubeconfig: str | None, stop: asyncio.Event) -> None:
    """Hosts kopf, which takes over the signals: it returns when one asks it to end, and raises when a watch fails.

    It returns too when kopf has ended all watches, but not itself: it may wait without end for one of its tasks, and as
    process 1 of a container it cannot kill itself.
    """
    # A replica that waits for the lease does without kopf. The lease is renewed while it is imported.
    kopf, watches = await asyncio.to_thread(_host)
    ended = asyncio.Event()
    registry = watches.registry(context, kubeconfig, ended.set)
    hosted = asyncio.create_task(kopf.operator(registry=registry, standalone=True, clusterwide=True))
    ending = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait({hosted, ending}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({hosted}, timeout=_END_S)
        if hosted.cancelled():  # raised here, nobody would miss this task either
            log.error("kopf ends as cancelled: the operator ends with it")
        elif hosted.done():
            hosted.result()
        else:
            log.error("nothing is watched any more, and kopf does not end: the operator ends without it")
    finally:
        hosted.cancel()
        ending.cancel()
        await asyncio.wait({hosted, ending}, timeout=_END_S)
    stop.set()


def _host() -> tuple[ModuleType, ModuleType]:
    return import_module("kopf"), import_module("kubelambda.controllers.machinery.watches")
