"""The pollers: read the sources of event source mappings, and invoke functions with what is there."""

import argparse
import asyncio
import logging
import os
import signal
import socket
from pathlib import Path

from aiohttp import web

from kubelambda.api import settings as settings_file
from kubelambda.apps import heap_trim, options
from kubelambda.apps.caller_proof import PATH
from kubelambda.apps.platform_loop import PlatformLoop
from kubelambda.kube.kube_client import KubeClient
from kubelambda.outbound.record_sender import RecordSender
from kubelambda.pollers.function_invoker import FunctionInvoker
from kubelambda.pollers.poller_factory import PollerFactory
from kubelambda.pollers.poller_metrics import PollerMetrics
from kubelambda.pollers.poller_share import PollerShare
from kubelambda.pollers.schemas.reading_processes import ReadingProcesses
from kubelambda.pollers.supervisor import Supervisor

DRAIN_S = 50.0
"""Less than the pod's grace period: what still runs then comes back from its source."""

log = logging.getLogger(__name__)


def main() -> None:
    """Runs until SIGTERM."""
    parser = options.parser(__doc__)
    parser.add_argument("--port", type=int, default=9090, help="port of /metrics, /healthz and /readyz")
    parser.add_argument("--address", default=os.environ.get("KUBELAMBDA_POD_IP", "127.0.0.1"), help="own address")
    parser.add_argument("--service", default="kubelambda-pollers", help="Service whose ready pods share the mappings")
    parser.add_argument("--caller-file", type=Path, default=PATH, help="file that `caller-proof pollers` wrote")
    arguments = parser.parse_args()
    options.configure_logging(arguments.log_level)
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"  # who we are at a source is the mapping's to say, never the node's
    with asyncio.Runner(loop_factory=PlatformLoop) as runner:
        runner.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> None:
    settings = settings_file.load(arguments.settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    client = await KubeClient.connect(arguments.kubeconfig)
    metrics = PollerMetrics()
    refused = settings.code_url_refused_networks
    async with (
        FunctionInvoker(settings.frontend_url, arguments.caller_file.read_text()) as invoker,
        RecordSender(client, settings.region, refused) as sender,
        ReadingProcesses() as processes,
    ):

        def share_changed() -> None:
            supervisor.share_changed()

        share = PollerShare(client, settings.system_namespace, arguments.service, arguments.address, share_changed)
        identity = socket.gethostname()
        pollers = PollerFactory(
            client, invoker, sender, metrics, identity=identity, processes=processes, refused=refused
        )
        supervisor = Supervisor(client, pollers, owns=share.owns)
        runner = web.AppRunner(_pages(supervisor, metrics), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, port=arguments.port).start()
        members = loop.create_task(share.reflector.run())
        work = loop.create_task(supervisor.run())
        heap_trim.trim_regularly(loop)
        await asyncio.wait([work, members, loop.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        for task in (work, members):
            if task.done():
                task.result()  # a part that died takes the process with it
        await supervisor.drain(DRAIN_S)
        for task in (work, members):
            task.cancel()
        await runner.cleanup()
    await client.close()


def _pages(supervisor: Supervisor, metrics: PollerMetrics) -> web.Application:
    async def health(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="ok" if supervisor.synced else "reading", status=200 if supervisor.synced else 503)

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=metrics.page(), content_type="text/plain", charset="utf-8")

    application = web.Application()
    application.add_routes([web.get("/healthz", health), web.get("/readyz", ready), web.get("/metrics", page)])
    return application
