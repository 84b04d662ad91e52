"""Reconciles the warm pool of one namespace and runtime: there while a function there can use it."""

import contextlib

from kubelambda.api.runtime import RuntimeSpec
from kubelambda.controllers.context import FIELD_MANAGER, Context
from kubelambda.controllers.queue import Key
from kubelambda.core import tokens
from kubelambda.kube.errors import NotFound
from kubelambda.kube.resources import DEPLOYMENTS
from kubelambda.resources.pool import pool_deployment, pool_name, pool_size


async def reconcile(context: Context, key: Key) -> float | None:
    """The pool `key.name` (a runtime) of `key.namespace`."""
    namespace = context.state.namespaces.get(key.namespace)
    runtime = context.state.runtimes.get(key.name)
    gone = namespace is None or namespace.terminating or runtime is None
    if gone or not context.state.uses(key.namespace, key.name):
        with contextlib.suppress(NotFound):
            await context.client.delete(DEPLOYMENTS, pool_name(key.name), key.namespace)
        return None
    assert namespace is not None
    assert runtime is not None
    spec = RuntimeSpec.model_validate(runtime["spec"])
    manifest = pool_deployment(
        key.namespace,
        key.name,
        runtime["metadata"]["uid"],
        spec,
        context.settings.environments,
        size=pool_size(key.name, spec, namespace.annotations),
        token_sha256=tokens.pool_token_sha256(context.key, key.namespace),
    )
    await context.client.apply(DEPLOYMENTS, manifest, manager=FIELD_MANAGER)
    return None
