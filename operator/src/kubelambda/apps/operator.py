"""The operator: leads by a lease, hosts kopf, and works its queue."""

import argparse
import asyncio
import logging
import os
import socket
import sys

import kopf

from kubelambda.api import settings as settings_file
from kubelambda.apps import options
from kubelambda.controllers import code_collection, function, namespace, pool, resync, runtime, watches
from kubelambda.controllers.context import Context
from kubelambda.controllers.health import PORT, Health
from kubelambda.controllers.queue import Key, WorkQueue
from kubelambda.kube.client import KubeClient
from kubelambda.kube.errors import KubeError
from kubelambda.kube.lease import LeaderLease
from kubelambda.store.code_store import CodeStore

WORKERS = 8
RECONCILERS = {
    "Function": function.reconcile,
    "Runtime": runtime.reconcile,
    "Pool": pool.reconcile,
    "Namespace": namespace.reconcile,
    "CodeStore": code_collection.reconcile,
}


def main() -> None:
    """Runs until SIGTERM, or until the lease is lost."""
    parser = options.parser(__doc__)
    parser.add_argument("--health-port", type=int, default=PORT, help="port of /healthz, /readyz and /metrics")
    parser.add_argument("--lease-name", default=os.environ.get("KUBELAMBDA_LEASE_NAME", "kubelambda-operator"))
    arguments = parser.parse_args()
    options.configure_logging(arguments.log_level)
    if arguments.kubeconfig:
        os.environ["KUBECONFIG"] = arguments.kubeconfig
    health = Health()
    asyncio.run(_run(arguments, health))


async def _run(arguments: argparse.Namespace, health: Health) -> None:
    settings = settings_file.load(arguments.settings)
    client = await KubeClient.connect(arguments.kubeconfig)
    identity = f"{os.environ.get('KUBELAMBDA_POD_NAME', socket.gethostname())}_{os.getpid()}"
    system = os.environ.get("KUBELAMBDA_POD_NAMESPACE", settings.system_namespace)
    lease = LeaderLease(client, namespace=system, name=arguments.lease_name, identity=identity)
    queue = WorkQueue(observe=health.observe)
    health.queue_age = queue.oldest_age
    key = arguments.key_file.read_bytes().strip()
    async with CodeStore(settings.code_store_url, key) as store:
        context = Context(client, store, settings, key, queue)
        serving = asyncio.create_task(health.serve(arguments.health_port))
        await lease.acquire()
        health.leading.set(1)
        tasks = [serving, asyncio.create_task(lease.hold()), asyncio.create_task(_work(context))]
        await kopf.operator(registry=watches.registry(context, arguments.kubeconfig), standalone=True, clusterwide=True)
        for task in tasks:
            task.cancel()
        try:
            await lease.release()
        except KubeError as error:
            print(f"operator: the lease was not released: {error}", file=sys.stderr)  # noqa: T201 - logging may be gone
    await client.close()


async def _work(context: Context) -> None:
    """Loads what there is, then works off what changes."""

    async def reconcile(key: Key) -> float | None:
        return await RECONCILERS[key.kind](context, key)

    while True:
        try:
            await resync.load(context)
            break
        except KubeError as error:
            logging.getLogger(__name__).warning("waiting for the API server: %s", error)
            await asyncio.sleep(1)
    context.queue.add(Key("CodeStore", "", ""), 60.0)
    async with asyncio.TaskGroup() as group:
        group.create_task(resync.run(context))
        group.create_task(context.queue.run(reconcile, WORKERS))
