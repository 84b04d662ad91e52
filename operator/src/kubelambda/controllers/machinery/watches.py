"""kopf as informer and lifecycle host: events become keys, and nothing else happens here.

No change handlers, timers or daemons: they keep state on the objects, and lose changes that come while they work.
"""

import logging
import time
from typing import Any

import kopf

from kubelambda.api import labels
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.cluster_state import function_facts, namespace_facts
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.work_queue import Key

log = logging.getLogger(__name__)


def registry(context: Context, kubeconfig: str | None) -> kopf.OperatorRegistry:
    """Handlers of a few lines each, on a registry of their own."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.startup(registry=handlers)
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure_settings(settings)

    @kopf.on.login(registry=handlers)
    async def login(**arguments: Any) -> Any:
        if kubeconfig is None:
            return kopf.login_with_service_account(**arguments)
        return kopf.login_with_kubeconfig(**arguments)

    @kopf.on.event(labels.GROUP, labels.VERSION, "functions", registry=handlers)
    async def function(namespace: str | None, name: str, body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002
        context.last_event = time.monotonic()
        assert namespace is not None
        view = None if type == "DELETED" else function_facts(dict(body))
        if changes.take_in_function(context, namespace, name, view):
            context.queue.add(changes.function_key(namespace, name))

    @kopf.on.event(labels.GROUP, labels.VERSION, "runtimes", registry=handlers)
    async def runtime(name: str, body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002
        context.last_event = time.monotonic()
        changes.take_in_runtime(context, name, None if type == "DELETED" else dict(body))

    @kopf.on.event("", "v1", "namespaces", registry=handlers)
    async def namespace(name: str, body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002
        changes.take_in_namespace(context, name, None if type == "DELETED" else namespace_facts(dict(body)))

    _register_pools(handlers, context)
    return handlers


def _register_pools(handlers: kopf.OperatorRegistry, context: Context) -> None:
    generations: dict[tuple[str, str], int] = {}

    @kopf.on.event("apps", "v1", "deployments", labels={labels.POOL: kopf.PRESENT}, registry=handlers)
    async def pool(namespace: str | None, name: str, meta: kopf.Meta, type: str | None, **_: Any) -> None:  # noqa: A002
        assert namespace is not None
        runtime = meta["labels"][labels.POOL]
        context.queue.add(Key("Runtime", "", runtime), changes.COUNT_DELAY_S)
        generation = meta["generation"]
        if type == "DELETED":
            generations.pop((namespace, name), None)
            context.queue.add(Key("Pool", namespace, runtime))
        elif generations.get((namespace, name)) != generation:  # somebody, maybe ourselves, changed its spec
            generations[namespace, name] = generation
            context.queue.add(Key("Pool", namespace, runtime))


def configure_settings(settings: kopf.OperatorSettings) -> None:
    """Every setting that is not kopf's default, and why."""
    settings.posting.enabled = False  # our own recorder writes transitions only
    settings.peering.standalone = True  # a Lease elects the leader
    settings.scanning.disabled = True  # the definitions are installed before us
    settings.watching.chunk_size = 500  # a list of thousands is never in memory at once
    settings.watching.label_selectors["apps", "v1", "deployments"] = labels.POOL  # other people's never reach us
    settings.watching.server_timeout = 600  # a second belt beside the timeout for inactivity
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    # Nothing is kept on objects, but what kopf would write carries our name and not everybody's.
    settings.persistence.finalizer = f"{labels.GROUP}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=f"kopf.{labels.GROUP}")
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=f"kopf.{labels.GROUP}")
    settings.execution.max_workers = 2  # no handler is synchronous
    settings.process.ultimate_exiting_timeout = 20  # less than the pod's grace period
