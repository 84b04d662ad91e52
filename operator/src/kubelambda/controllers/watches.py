"""kopf as informer and lifecycle host: events become keys, and nothing else happens here (KOPF §0)."""

from typing import Any

import kopf

from kubelambda.api import labels
from kubelambda.controllers.cluster_state import namespace_view
from kubelambda.controllers.context import Context
from kubelambda.controllers.queue import Key


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
    async def function(namespace: str | None, name: str | None, **_: Any) -> None:
        context.queue.add(Key("Function", namespace or "", name or ""))

    @kopf.on.event(labels.GROUP, labels.VERSION, "runtimes", registry=handlers)
    async def runtime(name: str | None, **_: Any) -> None:
        context.queue.add(Key("Runtime", "", name or ""))

    @kopf.on.event("", "v1", "namespaces", registry=handlers)
    async def namespace(name: str | None, body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002
        observe_namespace(context, name or "", None if type == "DELETED" else dict(body))

    @kopf.on.event("apps", "v1", "deployments", labels={labels.POOL: kopf.PRESENT}, registry=handlers)
    async def pool(namespace: str | None, meta: kopf.Meta, type: str | None, **_: Any) -> None:  # noqa: A002
        name = meta["labels"][labels.POOL]
        context.queue.add(Key("Runtime", "", name), 1.0)
        if type == "DELETED":
            context.queue.add(Key("Pool", namespace or "", name))

    return handlers


def observe_namespace(context: Context, name: str, body: dict[str, Any] | None) -> None:
    """Takes a namespace in; functions and pools there are looked at again when its annotations changed."""
    known = context.state.namespaces.get(name)
    if body is None:
        context.state.namespaces.pop(name, None)
        return
    view = namespace_view(body)
    context.state.namespaces[name] = view
    if known == view:
        return
    context.queue.add(Key("Namespace", name, name))
    for (namespace, function), found in list(context.state.functions.items()):
        if namespace == name:
            context.queue.add(Key("Function", namespace, function))
            if found.runtime:
                context.queue.add(Key("Pool", namespace, found.runtime))


def configure_settings(settings: kopf.OperatorSettings) -> None:
    """Every setting with its reason in KOPF §17."""
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.persistence.finalizer = f"{labels.GROUP}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=f"kopf.{labels.GROUP}")
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=f"kopf.{labels.GROUP}")
    settings.execution.max_workers = 2
    settings.process.ultimate_exiting_timeout = 20
