"""The code fetcher: brings code from where only an account's own keys lead into the code store."""

import argparse
import asyncio
import signal

from aiohttp import web

from kubelambda.api import settings as settings_file
from kubelambda.apps import code_key, heap_trim, options
from kubelambda.fetcher.code_fetcher_server import CodeFetcherServer
from kubelambda.fetcher.oci_artifact import OciRegistries
from kubelambda.fetcher.s3_access import S3Directory
from kubelambda.kube.kube_client import KubeClient
from kubelambda.store.code.code_store import CodeStore


def main() -> None:
    """Serves until SIGTERM."""
    parser = options.parser(__doc__)
    parser.add_argument("--port", type=int, default=8080)
    parser.set_defaults(key_file=code_key.PATH)  # which opens the code store for uploads, and nothing else
    arguments = parser.parse_args()
    options.configure_logging(arguments.log_level)
    asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> None:
    settings = settings_file.load(arguments.settings)
    key = options.installation_key(arguments)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    client = await KubeClient.connect(arguments.kubeconfig)
    async with CodeStore.for_uploads(settings.code_store_url, key) as store:
        refused = tuple(settings.code_url_refused_networks)
        s3 = S3Directory(client, settings.s3, settings.region, refused)
        registries = OciRegistries(client, refused, settings.images.insecure_registries)
        server = CodeFetcherServer(store, s3, registries, key)
        runner = web.AppRunner(server.application(), access_log=None, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, port=arguments.port).start()
        heap_trim.trim_regularly(asyncio.get_running_loop())
        await stop.wait()
        await runner.cleanup()
    await client.close()
