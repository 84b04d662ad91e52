"""kopf as informer and lifecycle host: events become facts and keys, and nothing else happens here.

No change handlers, timers or daemons: they keep state on the objects, and lose changes that come while they work.
"""

import time
from collections.abc import Callable
from typing import Any

import kopf

from kubelambda.api import labels
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.watched import Watch

PAGE = 20
"""Objects that are listed at once: each may carry a megabyte of code."""
FORGET_S = 0.5
"""How long kopf keeps what it last saw of an object that does not change."""


def registry(context: Context, kubeconfig: str | None, ended: Callable[[], None]) -> kopf.OperatorRegistry:
    """One handler of a few lines for each watch, on a registry of their own. `ended`: nothing is watched any more."""
    handlers = kopf.OperatorRegistry()
    followed = [watch for watch in changes.watches(context) if not watch.listed_only]

    @kopf.on.startup(registry=handlers)
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure_settings(settings)
        for (group, version, plural), selector in _selectors(context).items():
            settings.watching.label_selectors[group, version, plural] = selector
        # One that begins without any object says so to nobody, though there may have been some: see `resync.mind`.
        context.watching.listed |= dict.fromkeys(followed, time.monotonic())

    @kopf.on.login(registry=handlers)
    async def login(**arguments: Any) -> Any:
        if kubeconfig is None:
            return kopf.login_with_service_account(**arguments)
        return kopf.login_with_kubeconfig(**arguments)

    @kopf.on.cleanup(registry=handlers)
    async def cleaned_up(**_: Any) -> None:
        ended()

    for watch in followed:
        _register(handlers, context, watch)
    return handlers


def _selectors(context: Context) -> dict[tuple[str, str, str], str]:
    """For each resource that we follow in part: other people's objects never reach us. There is one stream a resource:
    where two watches share one, it brings what is ours, and each takes what has its label."""
    found: dict[tuple[str, str, str], str] = {}
    for watch in changes.watches(context):
        resource = (watch.resource.group, watch.resource.version, watch.resource.plural)
        if watch.label:
            shared = resource in found and found[resource] != watch.label
            found[resource] = f"{labels.MANAGED_BY}={labels.MANAGER}" if shared else watch.label
    return found


def _register(handlers: kopf.OperatorRegistry, context: Context, watch: Watch[object]) -> None:
    resource = watch.resource
    handler_id = f"{resource.plural}/{watch.label}"

    # Without kopf's filter by labels: what loses its label is gone, and would be filtered out where a stream is shared.
    @kopf.on.event(resource.group, resource.version, resource.plural, id=handler_id, registry=handlers)
    async def changed(namespace: str | None, name: str, body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002
        context.watching.last_event[watch] = now = time.monotonic()
        if type is None:
            context.watching.listed[watch] = now
        metadata = body["metadata"]
        if type == "DELETED" or not watch.selects(metadata):
            version = int(metadata["resourceVersion"])
            changes.forget(context, watch, namespace or "", name, uid=metadata["uid"], version=version)
        else:
            await changes.observe(context, watch, dict(body))


def configure_settings(settings: kopf.OperatorSettings) -> None:
    """Every setting that is not kopf's default, and why."""
    settings.posting.enabled = False  # our own recorder writes transitions only
    settings.peering.standalone = True  # a Lease elects the leader
    settings.scanning.disabled = True  # the definitions are installed before us
    settings.watching.chunk_size = PAGE  # a list of thousands is never in memory at once
    settings.watching.server_timeout = 600  # a second belt beside the timeout for inactivity
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.queueing.idle_timeout = FORGET_S  # until then the last body of every object stays in memory
    # Nothing is kept on objects, but what kopf would write carries our name and not everybody's.
    settings.persistence.finalizer = f"{labels.GROUP}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=f"kopf.{labels.GROUP}")
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=f"kopf.{labels.GROUP}")
    settings.execution.max_workers = 2  # no handler is synchronous
    settings.process.ultimate_exiting_timeout = 20  # no use in a container, where nothing kills process 1: see hosting
