"""The operator: leads by a lease, and reconciles what its controllers declare."""

import argparse
import asyncio
import gc
import os
import signal
import socket
from contextlib import suppress

from kubelambda.api import settings as settings_file
from kubelambda.apps import options
from kubelambda.autoscaler import autoscaling
from kubelambda.controllers.code.code_state import CodeState, signature_errors
from kubelambda.controllers.machinery import hosting
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.health import PORT, Health, Vitals
from kubelambda.controllers.machinery.queues import Queues
from kubelambda.controllers.registry import controllers
from kubelambda.core.environment import tokens
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.lease import LeaderLease
from kubelambda.resources.enforcement_probe_objects import PodOwner
from kubelambda.store.code.code_fetcher import CodeFetcher
from kubelambda.store.code.code_store import CodeStore


def main() -> None:
    """Runs until SIGTERM, or until the lease is lost."""
    parser = options.parser(__doc__)
    parser.add_argument("--health-port", type=int, default=PORT, help="port of /healthz, /readyz and /metrics")
    parser.add_argument("--lease-name", default=os.environ.get("KUBELAMBDA_LEASE_NAME", "kubelambda-operator"))
    parser.add_argument(
        "--frontend-service", default=os.environ.get("KUBELAMBDA_FRONTEND_SERVICE", "kubelambda-frontend")
    )
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
    async with (
        CodeStore(settings.code_store_url, key) as store,
        CodeFetcher(settings.code_fetcher_url, tokens.code_key(key)) as fetcher,
    ):
        code = CodeState(store, fetcher, signature_errors=signature_errors(health.registry))
        found = controllers(code, _own_pod())
        context = Context(client, settings, key, found, Queues(found, observe=health.observe))
        vitals.queues, vitals.watching = context.queues.by_name, context.watching
        gc.freeze()

        async def scale() -> None:
            await autoscaling.run(client, settings, service=arguments.frontend_service, registry=health.registry)

        leading = asyncio.create_task(hosting.lead(context, lease, arguments.kubeconfig, stop, beside=[scale]))
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


def _own_pod() -> PodOwner | None:
    """Our pod, where we run in one."""
    name, uid = os.environ.get("KUBELAMBDA_POD_NAME"), os.environ.get("KUBELAMBDA_POD_UID")
    return PodOwner(name, uid) if name and uid else None


async def _end(*tasks: "asyncio.Task[object]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
