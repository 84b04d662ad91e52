"""The event queue: asynchronous invocations between their 202 and their end."""

import argparse
import asyncio
import logging
import os
import signal
from pathlib import Path

import uvloop

from kubelambda.api import limits
from kubelambda.api import settings as settings_file
from kubelambda.apps import options
from kubelambda.events.attempt import Attempts
from kubelambda.events.dead_letters import DeadLetters
from kubelambda.events.destinations import Destinations
from kubelambda.events.event_admin import EventAdmin
from kubelambda.events.event_ends import EventEnds
from kubelambda.events.event_metrics import EventMetrics
from kubelambda.events.event_worker import EventWorker
from kubelambda.events.function_policies import FunctionPolicies
from kubelambda.events.intake import EventIntake
from kubelambda.kube.kube_client import KubeClient
from kubelambda.outbound.record_sender import RecordSender
from kubelambda.store.event.event_queue import QueuedEvent
from kubelambda.store.event.sqlite_queue import SqliteQueue
from kubelambda.wire.connections import Bounds, Connections
from kubelambda.wire.protocol import ServerProtocol

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
    parser.add_argument("--port", type=int, default=8080, help="port at which frontends hand events over")
    parser.add_argument("--metrics-port", type=int, default=9090, help="port of /metrics")
    arguments = parser.parse_args()
    options.configure_logging(arguments.log_level)
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"  # who we are at a destination is the account's to say
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> None:
    settings = settings_file.load(arguments.settings)
    key = options.installation_key(arguments)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    client = await KubeClient.connect(arguments.kubeconfig)
    metrics = EventMetrics()
    policies = FunctionPolicies(client)
    sender = RecordSender(client, settings.region, settings.code_url_refused_networks)
    async with SqliteQueue(arguments.file) as queue, Attempts(settings.frontend_url, key) as attempts, sender:

        def on_accepted(number: int, event: QueuedEvent) -> None:
            worker.accepted(number, event)

        ends = EventEnds(queue, Destinations(queue, sender, on_accepted), metrics)
        worker = EventWorker(queue, attempts, policies, ends, metrics)
        log.info("%d events wait", await worker.load())
        intake = EventIntake(queue, key, on_accepted)
        connections = Connections(Bounds(), loop.call_later)
        server = await loop.create_server(
            lambda: ServerProtocol(intake.serve, max_body=limits.ASYNC_REQUEST_MAX_BYTES, connections=connections),
            "0.0.0.0",  # noqa: S104 - the pod's address
            arguments.port,
            backlog=1024,
        )
        letters = DeadLetters(client, queue, policies, sender, on_accepted)
        admin = EventAdmin(queue, worker, letters)
        admin_server = await loop.create_server(
            lambda: ServerProtocol(admin.serve, max_body=0, connections=connections), "127.0.0.1", ADMIN_PORT
        )
        metrics.serve(arguments.metrics_port)
        tasks = [loop.create_task(policies.run()), loop.create_task(worker.run())]
        log.info("accepting events on port %d", arguments.port)
        await asyncio.wait([loop.create_task(stop.wait()), *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()  # a part that died takes the process with it
        intake.draining = True
        await worker.drain(DRAIN_S)
        server.close()
        admin_server.close()
        for task in tasks:
            task.cancel()
    await client.close()
