"""The operator: leads by a lease, hosts kopf, and works its queues."""

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
from contextlib import suppress

import kopf

from kubelambda.api import settings as settings_file
from kubelambda.apps import options
from kubelambda.controllers.account import namespace
from kubelambda.controllers.code import code_collection, download
from kubelambda.controllers.function import function
from kubelambda.controllers.machinery import resync, watches
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.health import PORT, Health, Vitals
from kubelambda.controllers.machinery.work_queue import Key, Outcome, WorkQueue
from kubelambda.controllers.pool import pool, runtime
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.lease import LeaderLease
from kubelambda.store.code.code_store import CodeStore

WORKERS = 8
RECONCILERS = {
    "Function": function.reconcile,
    "Runtime": runtime.reconcile,
    "Pool": pool.reconcile,
    "Namespace": namespace.reconcile,
    "CodeStore": code_collection.reconcile,
    "Download": download.reconcile,
}

log = logging.getLogger(__name__)


def main() -> None:
    """Runs until SIGTERM, or until the lease is lost."""
    parser = options.parser(__doc__)
    parser.add_argument("--health-port", type=int, default=PORT, help="port of /healthz, /readyz and /metrics")
    parser.add_argument("--lease-name", default=os.environ.get("KUBELAMBDA_LEASE_NAME", "kubelambda-operator"))
    arguments = parser.parse_args()
    options.configure_logging(arguments.log_level)
    if arguments.kubeconfig:
        os.environ["KUBECONFIG"] = arguments.kubeconfig
    asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings = settings_file.load(arguments.settings)
    client = await KubeClient.connect(arguments.kubeconfig)
    lease = LeaderLease(
        client,
        namespace=os.environ.get("KUBELAMBDA_POD_NAMESPACE", settings.system_namespace),
        name=arguments.lease_name,
        identity=f"{os.environ.get('KUBELAMBDA_POD_NAME', socket.gethostname())}_{os.getpid()}",
    )
    vitals = Vitals(lease_age=lambda: lease.age, contact=lambda: lease.contact)
    health = Health(vitals)
    key = options.installation_key(arguments)
    async with CodeStore(settings.code_store_url, key) as store:
        context = Context(
            client,
            store,
            settings,
            key,
            queue=WorkQueue(observe=health.observe),
            downloads=WorkQueue(observe=health.observe),
        )
        gc.freeze()
        leading = asyncio.create_task(_lead(context, lease, vitals, arguments.kubeconfig, stop))
        serving = asyncio.create_task(health.serve(arguments.health_port))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({leading, serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in (leading, serving):
                if task.done():
                    task.result()  # a part that died takes the process with it
        finally:
            await _end(leading, serving, stopping)
            if lease.held:
                with suppress(KubeError):
                    await lease.release()
            await client.close()


async def _end(*tasks: "asyncio.Task[object]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _lead(
    context: Context, lease: LeaderLease, vitals: Vitals, kubeconfig: str | None, stop: asyncio.Event
) -> None:
    """Waits for the lease, reads the cluster, then works off what changes. Returns only by being cancelled."""
    await lease.acquire()

    async def reconcile(key: Key) -> Outcome:
        if not lease.held:
            raise RuntimeError("the lease is not ours any more")
        return await RECONCILERS[key.kind](context, key)

    vitals.queues = {
        "quick": lambda: (len(context.queue), context.queue.oldest_age()),
        "downloads": lambda: (len(context.downloads), context.downloads.oldest_age()),
    }
    vitals.deaf = lambda: context.deaf
    async with asyncio.TaskGroup() as group:
        group.create_task(lease.hold())
        await _load(context)
        vitals.loaded = True
        context.queue.add(code_collection.KEY, 5.0)
        group.create_task(resync.run(context))
        group.create_task(context.queue.run(reconcile, WORKERS))
        group.create_task(context.downloads.run(reconcile, download.WORKERS))
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
    """Hosts kopf, which takes over the signals: it returns when one asks it to end, and raises when a watch fails."""
    await kopf.operator(registry=watches.registry(context, kubeconfig), standalone=True, clusterwide=True)
    stop.set()
