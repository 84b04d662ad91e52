"""The control API: Lambda's operations on functions, over the custom resources."""

import asyncio
import gc
import logging

import uvicorn

from kubelambda.apps import code_key, heap_trim, options
from kubelambda.awsapi import api_settings
from kubelambda.awsapi.account.account_use import AccountUse
from kubelambda.awsapi.account.caller_check import CallerCheck
from kubelambda.awsapi.account.directory import AccountDirectory
from kubelambda.awsapi.application import ControlApi
from kubelambda.awsapi.call import Services
from kubelambda.awsapi.draining_server import DrainingServer
from kubelambda.awsapi.model.service_model import ServiceModel
from kubelambda.callers.audit_log import AuditLog, standard_output
from kubelambda.kube.kube_client import KubeClient
from kubelambda.store.code.code_fetcher import CodeFetcher
from kubelambda.store.code.code_store import CodeStore

KEEP_ALIVE_S = 75
"""Longer than frontends keep a connection that they do not use: it is theirs to close."""
LINGER_S = 5.0
"""After SIGTERM: longer than frontends need to hear that the replica ends, and to go to another."""

log = logging.getLogger(__name__)


def main() -> None:
    """Serves until SIGTERM; then finishes what is in flight."""
    parser = options.parser(__doc__)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--linger", type=float, default=LINGER_S, help="seconds that it goes on when asked to end")
    parser.set_defaults(key_file=code_key.PATH)  # which opens the code store for uploads, and nothing else
    arguments = parser.parse_args()
    options.configure_logging(arguments.log_level)
    settings = api_settings.load(arguments.settings)
    key = options.installation_key(arguments)
    asyncio.run(_run(settings, key, arguments.kubeconfig, port=arguments.port, linger_s=arguments.linger))


async def _run(
    settings: api_settings.ApiSettings, key: bytes, kubeconfig: str | None, *, port: int, linger_s: float
) -> None:
    client = await KubeClient.connect(kubeconfig)
    accounts, use = AccountDirectory(client), AccountUse(client)
    check = CallerCheck(client, accounts, settings)
    audit = AuditLog(standard_output, asyncio.get_running_loop().call_later)
    if settings.auth_mode == "none":
        log.warning("auth.mode is none: whoever reaches this API may make, change and delete functions")
    async with (
        CodeStore.for_uploads(settings.code_store_url, key) as store,
        CodeFetcher(settings.code_fetcher_url, key) as fetcher,
    ):
        services = Services(client, store, fetcher, settings, accounts, ServiceModel.load("lambda"), use)
        config = uvicorn.Config(
            ControlApi(services, check, audit).application(),
            host="0.0.0.0",  # noqa: S104 - the pod's address
            port=port,
            http="httptools",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=25,
        )
        watching = [asyncio.create_task(each.run()) for each in (accounts.namespaces, use, check.keys.secrets)]
        heap_trim.trim_regularly(asyncio.get_running_loop())
        gc.freeze()
        log.info("serving on port %d", port)
        await DrainingServer(config, linger_s).serve()
        for task in watching:
            task.cancel()
        audit.flush()
    await client.close()
