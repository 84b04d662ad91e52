"""Reconciles the warm pool of one namespace and runtime: there while a function there can use it."""

import contextlib
from collections.abc import Iterable

from pydantic import ValidationError

from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.controllers.account.namespace_facts import WATCHED_NAMESPACES, NamespaceFacts
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.controllers.pool.pool_facts import WATCHED_POOLS, PoolDeploymentFacts
from kubelambda.controllers.pool.runtime_facts import WATCHED_RUNTIMES, RuntimeFacts
from kubelambda.core.environment import tokens
from kubelambda.kube.errors import NotFound
from kubelambda.kube.resources import DEPLOYMENTS
from kubelambda.resources.pool_deployment import pool_deployment, pool_name, pool_range

KIND = "Pool"


async def reconcile(context: Context, key: Key) -> Outcome:
    """The pool `key.name` (a runtime) of `key.namespace`."""
    namespace = context.cluster[WATCHED_NAMESPACES].get("", key.namespace)
    runtime = context.cluster[WATCHED_RUNTIMES].get("", key.name)
    if namespace is not None and namespace.terminating:
        return None
    if namespace is None or runtime is None or not _needed(context, key):
        with contextlib.suppress(NotFound):
            await context.client.delete(DEPLOYMENTS, pool_name(key.name), key.namespace)
        return None
    try:
        spec = RuntimeSpec.model_validate(runtime.spec, extra="ignore")
    except ValidationError:
        return None  # the Runtime's functions say what is wrong with it
    size = pool_range(key.name, spec, namespace.annotations)
    manifest = pool_deployment(
        key.namespace,
        key.name,
        runtime.uid,
        spec,
        context.settings.environments,
        size=size.clamp(await _replicas(context, key)),
        token_sha256=tokens.pool_token_sha256(context.key, key.namespace),
    )
    await context.client.apply(DEPLOYMENTS, manifest, manager=FIELD_MANAGER)
    return None


def _needed(context: Context, key: Key) -> bool:
    """Whether a Function there can use it."""
    functions = context.cluster[WATCHED_FUNCTIONS].within(key.namespace)
    return any(facts.runtime == key.name and facts.pooled for _, facts in functions)


async def _replicas(context: Context, key: Key) -> int:
    """The size that the frontends gave the pool, as far as there is one."""
    deployment = await context.client.find(DEPLOYMENTS, pool_name(key.name), key.namespace)
    replicas: int = 0 if deployment is None else deployment["spec"].get("replicas", 0)
    return replicas


def _of_function(change: Change[FunctionFacts]) -> Iterable[Key]:
    """The pool that it used and the one that it uses, when that is another."""
    used = {(facts.runtime, facts.pooled) for facts in change.either}
    if change.before is None or change.after is None or len(used) > 1:
        for runtime in {runtime for runtime, _ in used if runtime}:
            yield Key(KIND, change.namespace, runtime)


def _of_runtime(change: Change[RuntimeFacts]) -> Iterable[Key]:
    users = {ns for (ns, _), facts in change.cluster[WATCHED_FUNCTIONS] if facts.runtime == change.name}
    return (Key(KIND, namespace, change.name) for namespace in users)


def _of_namespace(change: Change[NamespaceFacts]) -> Iterable[Key]:
    """Annotations set the sizes."""
    used = {facts.runtime for _, facts in change.cluster[WATCHED_FUNCTIONS].within(change.name) if facts.runtime}
    return (Key(KIND, change.name, runtime) for runtime in used)


def _of_deployment(change: Change[PoolDeploymentFacts]) -> Iterable[Key]:
    if len({facts.generation for facts in change.either}) > 1 or change.before is None or change.after is None:
        yield Key(KIND, change.namespace, change.either[0].runtime)


CONTROLLER = Controller(
    KIND,
    reconcile,
    follows=(
        Follow(WATCHED_NAMESPACES, _of_namespace),
        Follow(WATCHED_RUNTIMES, _of_runtime),
        Follow(WATCHED_FUNCTIONS, _of_function, resync=True),
        Follow(WATCHED_POOLS, _of_deployment, resync=True),
    ),
)
