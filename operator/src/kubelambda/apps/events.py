"""The event queue: asynchronous invocations between their 202 and their end."""

import argparse
import asyncio
import logging
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from kubelambda.api import limits
from kubelambda.api import settings as settings_file
from kubelambda.apps import heap_trim, options
from kubelambda.apps.platform_loop import PlatformLoop
from kubelambda.events.attempt import Attempts
from kubelambda.events.dead_letters import DeadLetters
from kubelambda.events.destinations import Destinations
from kubelambda.events.event_admin import EventAdmin
from kubelambda.events.event_ends import EventEnds
from kubelambda.events.event_metrics import EventMetrics
from kubelambda.events.event_worker import EventWorker
from kubelambda.events.function_policies import FunctionPolicies
from kubelambda.events.intake import EventIntake
from kubelambda.events.intake_door import IntakeDoor
from kubelambda.events.leadership import Leadership
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.lease import LeaderLease
from kubelambda.outbound.record_sender import RecordSender
from kubelambda.store.event.event_queue import QueuedEvent, WaitingEvent
from kubelambda.store.event.sqlite_queue import SqliteQueue
from kubelambda.wire.connections import Bounds, Connections
from kubelambda.wire.protocol import ServerProtocol

if TYPE_CHECKING:
    from kubelambda.store.event.jetstream_queue import JetStreamQueue

ADMIN_PORT = 8081
"""On the pod's loopback address: `kubelambda events` forwards a port to it."""
DRAIN_S = 20.0
"""Less than the pod's grace period: what still runs then is tried again by the next process."""

log = logging.getLogger(__name__)


def main() -> None:
    """Runs until SIGTERM."""
    parser = options.parser(__doc__)
    parser.add_argument(
        "--file", type=Path, default=Path("/var/lib/kubelambda/events.db"), help="where events are kept"
    )
    parser.add_argument("--engine", choices=["sqlite", "jetstream"], default="sqlite", help="what keeps events")
    parser.add_argument("--servers", default="", help="jetstream: addresses of NATS servers, with commas between them")
    parser.add_argument("--stream-replicas", type=int, default=3, help="jetstream: servers that keep each event")
    parser.add_argument("--stream-bytes", type=int, default=1 << 30, help="jetstream: the most that the streams take")
    parser.add_argument("--lease", default="kubelambda-events", help="jetstream: Lease of the one that tries events")
    parser.add_argument("--port", type=int, default=8080, help="port at which frontends hand events over")
    parser.add_argument("--metrics-port", type=int, default=9090, help="port of /metrics")
    arguments = parser.parse_args()
    options.configure_logging(arguments.log_level)
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"  # who we are at a destination is the account's to say
    with asyncio.Runner(loop_factory=PlatformLoop) as runner:
        runner.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> None:
    settings = settings_file.load(arguments.settings)
    key = options.installation_key(arguments)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    door = IntakeDoor()
    connections = Connections(Bounds(), loop.call_later)
    server = await loop.create_server(
        lambda: ServerProtocol(door.serve, max_body=limits.ASYNC_REQUEST_MAX_BYTES, connections=connections),
        "0.0.0.0",  # noqa: S104 - the pod's address
        arguments.port,
        backlog=1024,
    )
    async with AsyncExitStack() as held:
        queue = await _opened(held, _engine(arguments), stop)
        if queue is not None:
            await _work(arguments, settings, key, queue, door=door, connections=connections, stop=stop)
    server.close()


async def _opened(
    held: AsyncExitStack, engine: "SqliteQueue | JetStreamQueue", stop: asyncio.Event
) -> "SqliteQueue | JetStreamQueue | None":
    """The queue once it is open; None where the process is to end before that."""
    opening = asyncio.ensure_future(held.enter_async_context(engine))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait([opening, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if opening.done():
        opening.result()
        return engine
    opening.cancel()
    await asyncio.wait([opening])
    return None


async def _work(
    arguments: argparse.Namespace,
    settings: settings_file.Settings,
    key: bytes,
    queue: "SqliteQueue | JetStreamQueue",
    *,
    door: IntakeDoor,
    connections: Connections,
    stop: asyncio.Event,
) -> None:
    """Takes events and tries them, until `stop` is set; then finishes what it can."""
    loop = asyncio.get_running_loop()
    client = await KubeClient.connect(arguments.kubeconfig)
    metrics = EventMetrics()
    sender = RecordSender(client, settings.region, settings.code_url_refused_networks)
    async with Attempts(settings.frontend_url, key) as attempts, sender:
        shared = None if isinstance(queue, SqliteQueue) else queue

        def on_accepted(number: int, event: QueuedEvent) -> None:
            metrics.received(event.target.namespace, event.target.function)
            if shared is None:  # otherwise the one that leads hears of it from the queue
                worker.arrived(WaitingEvent(number, event.target, event.progress.due_at))

        policies = FunctionPolicies(client)
        ends = EventEnds(queue, Destinations(queue, sender, on_accepted), metrics)
        worker = EventWorker(queue, attempts, policies, ends, metrics)
        leadership = Leadership(worker, policies, shared)
        if shared is not None:
            name, identity = arguments.lease, os.environ.get("HOSTNAME", "")
            leadership.lease = LeaderLease(client, namespace=settings.system_namespace, name=name, identity=identity)
        await leadership.prepare()
        door.intake = intake = EventIntake(queue, key, on_accepted, metrics)
        admin = EventAdmin(queue, worker, DeadLetters(client, queue, policies, sender, on_accepted), leadership.leads)
        server = await loop.create_server(
            lambda: ServerProtocol(admin.serve, max_body=0, connections=connections), "127.0.0.1", ADMIN_PORT
        )
        metrics.serve(arguments.metrics_port)
        if shared is None:
            metrics.watch_disk(arguments.file)
        work = loop.create_task(leadership.run())
        heap_trim.trim_regularly(loop)
        log.info("accepting events on port %d", arguments.port)
        await asyncio.wait([loop.create_task(stop.wait()), work], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()  # a part that died takes the process with it
        intake.draining = True
        await worker.drain(DRAIN_S)
        door.intake = None
        server.close()
        work.cancel()
    await client.close()


def _engine(arguments: argparse.Namespace) -> "SqliteQueue | JetStreamQueue":
    if arguments.engine == "sqlite":
        return SqliteQueue(arguments.file)
    from kubelambda.store.event.jetstream_queue import JetStreamQueue  # noqa: PLC0415 - only who has servers needs it

    return JetStreamQueue(
        arguments.servers.split(","),
        replicas=arguments.stream_replicas,
        max_bytes=arguments.stream_bytes,
        user=os.environ.get("NATS_USER"),
        password=os.environ.get("NATS_PASSWORD"),
    )
