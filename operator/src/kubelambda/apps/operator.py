"""The operator: waits for a lease, and once it has it becomes the one that leads.

A replica that waits is small: what leads is imported with the lease. That it can be, a child process finds out before.
"""

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
from contextlib import suppress
from importlib import import_module

from kubelambda.apps import options
from kubelambda.apps.platform_loop import PlatformLoop
from kubelambda.apps.start_check import StartCheck
from kubelambda.controllers.machinery.health import PORT, Health, Vitals
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.lease import LeaderLease

_LEADING = "kubelambda.apps.leading_operator"

log = logging.getLogger(__name__)


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
    # Kept as they are now: who leads later, when the file may say something else, leads by what was checked.
    settings: bytes = arguments.settings.read_bytes()
    check = StartCheck.begin(settings, _LEADING)
    # asyncio's own loop fills 256 KB for every TLS connection, and kopf has one for every watch.
    runner = asyncio.Runner(loop_factory=PlatformLoop)
    try:
        runner.run(_run(arguments, settings, check))
    except BaseException:
        log.exception("the operator ends")
        os._exit(1)
    # Without a word to what is left: a watch of kopf that refuses to end would keep a process that leads nothing.
    os._exit(0)


async def _run(arguments: argparse.Namespace, settings: bytes, check: StartCheck) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    client = await KubeClient.connect(arguments.kubeconfig)
    lease = LeaderLease(
        client,
        namespace=os.environ.get("KUBELAMBDA_POD_NAMESPACE", check.namespace),
        name=arguments.lease_name,
        identity=f"{os.environ.get('KUBELAMBDA_POD_NAME', socket.gethostname())}_{os.getpid()}",
    )
    vitals = Vitals(lease_age=lambda: lease.age, contact=lambda: lease.contact, checked=lambda: check.done)
    health = Health(vitals)
    key = options.installation_key(arguments)
    gc.freeze()

    async def lead() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(check.passed())
            await lease.acquire()
            check.end()
        async with asyncio.TaskGroup() as group:
            group.create_task(lease.hold())
            # In a thread: the lease is renewed while all of it is imported.
            leading = await asyncio.to_thread(import_module, _LEADING)
            await leading.lead(
                arguments, client, lease, content=settings, key=key, vitals=vitals, health=health, stop=stop
            )

    leading = asyncio.create_task(lead())
    serving = asyncio.create_task(health.serve(arguments.health_port))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({leading, serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (leading, serving):
            if task.done():
                task.result()  # a part that died takes the process with it
    finally:
        await _end(leading, serving, stopping)
        check.end()
        if lease.held:
            with suppress(KubeError):
                await lease.release()
        await client.close()


async def _end(*tasks: "asyncio.Task[object]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
