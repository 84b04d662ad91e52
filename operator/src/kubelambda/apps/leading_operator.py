"""What the operator that has the lease runs: the controllers, and target tracking beside them."""

import argparse
import asyncio
import gc
import os

from kubelambda.api import settings as settings_file
from kubelambda.apps import heap_trim
from kubelambda.autoscaler import autoscaling
from kubelambda.controllers.code.code_state import CodeState, signature_errors
from kubelambda.controllers.machinery import hosting
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.health import Health, Vitals
from kubelambda.controllers.machinery.queues import Queues
from kubelambda.controllers.registry import controllers
from kubelambda.core.environment import tokens
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.lease import LeaderLease
from kubelambda.resources.enforcement_probe_objects import PodOwner
from kubelambda.store.code.code_fetcher import CodeFetcher
from kubelambda.store.code.code_store import CodeStore


async def lead(
    arguments: argparse.Namespace,
    client: KubeClient,
    lease: LeaderLease,
    *,
    content: bytes,
    key: bytes,
    vitals: Vitals,
    health: Health,
    stop: asyncio.Event,
) -> None:
    """Leads for as long as `lease` is held, by `content` of a file of settings. Returns only by being cancelled."""
    settings = settings_file.parse(content)
    async with (
        CodeStore(settings.code_store_url, key) as store,
        CodeFetcher(settings.code_fetcher_url, tokens.code_key(key)) as fetcher,
    ):
        code = CodeState(store, fetcher, signature_errors=signature_errors(health.registry))
        found = controllers(code, _own_pod(), binds=bool(settings.account_roles))
        context = Context(client, settings, key, found, Queues(found, observe=health.observe))
        vitals.queues, vitals.watching = context.queues.by_name, context.watching
        heap_trim.trim_regularly(asyncio.get_running_loop())
        gc.freeze()

        async def scale() -> None:
            await autoscaling.run(client, settings, service=arguments.frontend_service, registry=health.registry)

        await hosting.lead(context, lease, arguments.kubeconfig, stop, beside=[scale])


def _own_pod() -> PodOwner | None:
    """Our pod, where we run in one."""
    name, uid = os.environ.get("KUBELAMBDA_POD_NAME"), os.environ.get("KUBELAMBDA_POD_UID")
    return PodOwner(name, uid) if name and uid else None
