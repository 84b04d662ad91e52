"""The frontend: Lambda's Invoke API in front of the execution environments."""

import argparse
import asyncio
import gc
import logging
import os
import signal
import time

from kubelambda.api import limits
from kubelambda.api import settings as settings_file
from kubelambda.api.settings import ConnectionSettings
from kubelambda.apps import heap_trim, options
from kubelambda.apps.platform_loop import PlatformLoop
from kubelambda.frontend.frontend import Frontend
from kubelambda.kube.kube_client import KubeClient
from kubelambda.store.code.code_store import CodeStore
from kubelambda.wire.connections import Bounds, Connections
from kubelambda.wire.unread import bound_unsent

PROPAGATION_S = 6.0
"""How long the cluster may take to notice that a frontend is not ready any more."""

log = logging.getLogger(__name__)


def main() -> None:
    """Runs until SIGTERM; then finishes what is in flight."""
    parser = options.parser(__doc__)
    parser.add_argument("--port", type=int, default=8080, help="port of the Invoke API")
    parser.add_argument("--metrics-port", type=int, default=9090, help="port of /metrics")
    parser.add_argument("--address", default=os.environ.get("KUBELAMBDA_POD_IP", "127.0.0.1"), help="own address")
    parser.add_argument("--service", default=os.environ.get("KUBELAMBDA_SERVICE_NAME", "kubelambda-frontend"))
    arguments = parser.parse_args()
    options.configure_logging(arguments.log_level)
    with asyncio.Runner(loop_factory=PlatformLoop) as runner:
        runner.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> None:
    settings = settings_file.load(arguments.settings)
    if settings.auth.mode == "none":
        log.warning("auth.mode is none: whoever reaches this frontend may invoke every function")
    client = await KubeClient.connect(arguments.kubeconfig)
    key = options.installation_key(arguments)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    async with CodeStore(settings.code_store_url, key) as store:
        frontend = Frontend(
            client,
            store,
            settings,
            key,
            address=arguments.address,
            service=arguments.service,
            port=arguments.port,
        )
        connections = Connections(_bounds(settings.connections), loop.call_later)
        server = await loop.create_server(
            lambda: frontend.protocol(connections),
            "0.0.0.0",  # noqa: S104 - the pod's address
            arguments.port,
            backlog=1024,
        )
        bound_unsent(server.sockets[0])
        frontend.metrics.serve(arguments.metrics_port)
        tasks = [loop.create_task(reflector.run()) for reflector in frontend.caches.reflectors()]
        tasks += [loop.create_task(work) for work in frontend.background()]
        tasks.append(loop.create_task(frontend.serve_endpoints(connections)))
        heap_trim.trim_regularly(loop)
        gc.freeze()
        log.info("serving on port %d", arguments.port)
        dead = await _first_death(stop, tasks)
        await _drain(frontend, server, connections)
        for task in tasks:
            task.cancel()
        frontend.close()
    await client.close()
    if dead is not None:
        raise SystemExit(1) from dead


def _bounds(settings: ConnectionSettings) -> Bounds:
    return Bounds(
        head_s=settings.head_seconds,
        body_s=settings.body_seconds,
        write_s=settings.read_seconds,
        idle_s=settings.idle_seconds,
        connections=settings.maximum,
        buffered_bytes=settings.buffered_mb << 20,
    )


async def _first_death(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> BaseException | None:
    """Returns when asked to stop, or with what ended a part of us: a frontend that lacks one must not seem alive."""
    stopping = asyncio.get_running_loop().create_task(stop.wait())
    await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in tasks:
        if task.done():
            error = task.exception() or RuntimeError(f"{task.get_coro()} returned")
            log.critical("a part of the frontend died, and the frontend with it", exc_info=error)
            return error
    return None


async def _drain(frontend: Frontend, server: asyncio.Server, connections: Connections) -> None:
    """Not ready at once; open connections end after their next answer; then waits for what is not answered or not read.

    Not for environments whose extensions go on after the answer: whoever has the account next asks them.
    """
    log.info("draining: %d invocations are not answered", frontend.unanswered)
    frontend.drain()
    deadline = time.monotonic() + limits.TIMEOUT_MAX_S + 10
    begun = time.monotonic()
    while time.monotonic() < deadline:
        busy = [connection for connection in connections if connection.finish()]
        if time.monotonic() - begun > PROPAGATION_S and not busy and frontend.unanswered == 0:
            break
        await asyncio.sleep(0.1)
    server.close()
    for connection in connections:
        connection.close()
    log.info("drained")
