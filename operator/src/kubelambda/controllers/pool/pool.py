"""Reconciles the warm pool of one namespace and runtime: there while a function there can use it."""

import contextlib

from pydantic import ValidationError

from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.core.environment import tokens
from kubelambda.kube.errors import NotFound
from kubelambda.kube.resources import DEPLOYMENTS
from kubelambda.resources.pool_deployment import pool_deployment, pool_name, pool_range


async def reconcile(context: Context, key: Key) -> Outcome:
    """The pool `key.name` (a runtime) of `key.namespace`."""
    namespace = context.state.namespaces.get(key.namespace)
    runtime = context.state.runtimes.get(key.name)
    if namespace is not None and namespace.terminating:
        return None
    if namespace is None or runtime is None or not context.state.needs_pool(key.namespace, key.name):
        with contextlib.suppress(NotFound):
            await context.client.delete(DEPLOYMENTS, pool_name(key.name), key.namespace)
        return None
    try:
        spec = RuntimeSpec.model_validate(runtime["spec"], extra="ignore")
    except ValidationError:
        return None  # the Runtime's functions say what is wrong with it
    size = pool_range(key.name, spec, namespace.annotations)
    manifest = pool_deployment(
        key.namespace,
        key.name,
        runtime["uid"],
        spec,
        context.settings.environments,
        size=size.clamp(await _replicas(context, key)),
        token_sha256=tokens.pool_token_sha256(context.key, key.namespace),
    )
    await context.client.apply(DEPLOYMENTS, manifest, manager=FIELD_MANAGER)
    return None


async def _replicas(context: Context, key: Key) -> int:
    """The size that the frontends gave the pool, as far as there is one."""
    try:
        deployment = await context.client.get(DEPLOYMENTS, pool_name(key.name), key.namespace)
    except NotFound:
        return 0
    replicas: int = deployment["spec"].get("replicas", 0)
    return replicas
