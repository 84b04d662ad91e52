"""Reconciles the warm pools of a namespace, one a runtime and shape: there while a function there can use them."""

import contextlib
from collections.abc import Iterable

from pydantic import ValidationError

from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.controllers.account.namespace_facts import WATCHED_NAMESPACES, NamespaceFacts
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.function.version_facts import WATCHED_VERSIONS, VersionFacts
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.controllers.pool.pool_facts import WATCHED_POOLS, PoolDeploymentFacts
from kubelambda.controllers.pool.runtime_facts import WATCHED_RUNTIMES, RuntimeFacts
from kubelambda.core.environment import tokens
from kubelambda.core.environment.pool_identity import PoolIdentity, is_shaped
from kubelambda.kube.errors import NotFound
from kubelambda.kube.resources import DEPLOYMENTS
from kubelambda.resources.closure_check import closure_check
from kubelambda.resources.pool_deployment import pool_deployment, pool_name, pool_range

KIND = "Pool"


async def reconcile(context: Context, key: Key) -> Outcome:
    """The pool with the id `key.name` of `key.namespace`."""
    namespace = context.cluster[WATCHED_NAMESPACES].get("", key.namespace)
    if namespace is not None and namespace.terminating:
        return None
    pool = _needed(context, key)
    runtime = context.cluster[WATCHED_RUNTIMES].get("", pool.runtime) if pool else None
    if namespace is None or pool is None or runtime is None:
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
        pool,
        runtime.uid,
        spec,
        context.settings.environments,
        size=size.clamp(await _replicas(context, key)),
        token_sha256=tokens.pool_token_sha256(context.key, key.namespace),
        closure=closure_check(context.settings),
    )
    await context.client.apply(DEPLOYMENTS, manifest, manager=FIELD_MANAGER)
    return None


def _needed(context: Context, key: Key) -> PoolIdentity | None:
    """The pool, if a Function there can use it.

    A version can too, but keeps no generic pool alone: that has idle environments for a runtime that nobody deploys.
    """
    for _, function in context.cluster[WATCHED_FUNCTIONS].within(key.namespace):
        for pool in function.pools:
            if pool.id == key.name:
                return pool
    if is_shaped(key.name):
        for _, version in context.cluster[WATCHED_VERSIONS].within(key.namespace):
            if version.pool is not None and version.pool.id == key.name:
                return version.pool
    return None


async def _replicas(context: Context, key: Key) -> int:
    """The size that the frontends gave the pool, as far as there is one."""
    deployment = await context.client.find(DEPLOYMENTS, pool_name(key.name), key.namespace)
    replicas: int = 0 if deployment is None else deployment["spec"].get("replicas", 0)
    return replicas


def _of_function(change: Change[FunctionFacts]) -> Iterable[Key]:
    """The pools that it used and those that it uses, when these are others."""
    used = {facts.pools for facts in change.either}
    if change.before is None or change.after is None or len(used) > 1:
        for pool in {pool for pools in used for pool in pools}:
            yield Key(KIND, change.namespace, pool.id)


def _of_version(change: Change[VersionFacts]) -> Iterable[Key]:
    """What it runs never changes; a pool of a shape may come or go with it."""
    if change.before is None or change.after is None or change.before.pool != change.after.pool:
        for pool in {facts.pool for facts in change.either if facts.pool is not None}:
            if not pool.shape.generic:
                yield Key(KIND, change.namespace, pool.id)


def _of_runtime(change: Change[RuntimeFacts]) -> Iterable[Key]:
    users = [(ns, pool) for (ns, _), facts in change.cluster[WATCHED_FUNCTIONS] for pool in facts.pools]
    users += [(ns, facts.pool) for (ns, _), facts in change.cluster[WATCHED_VERSIONS] if facts.pool is not None]
    found = {(ns, pool) for ns, pool in users if pool.runtime == change.name}
    return (Key(KIND, namespace, pool.id) for namespace, pool in found)


def _of_namespace(change: Change[NamespaceFacts]) -> Iterable[Key]:
    """Annotations set the sizes."""
    used = {pool for _, facts in change.cluster[WATCHED_FUNCTIONS].within(change.name) for pool in facts.pools}
    versions = (facts.pool for _, facts in change.cluster[WATCHED_VERSIONS].within(change.name))
    used |= {pool for pool in versions if pool is not None and not pool.shape.generic}
    return (Key(KIND, change.name, pool.id) for pool in used)


def _of_deployment(change: Change[PoolDeploymentFacts]) -> Iterable[Key]:
    if len({facts.generation for facts in change.either}) > 1 or change.before is None or change.after is None:
        yield Key(KIND, change.namespace, change.either[0].pool_id)


CONTROLLER = Controller(
    KIND,
    reconcile,
    follows=(
        Follow(WATCHED_NAMESPACES, _of_namespace),
        Follow(WATCHED_RUNTIMES, _of_runtime),
        Follow(WATCHED_FUNCTIONS, _of_function, resync=True),
        Follow(WATCHED_VERSIONS, _of_version, resync=True),
        Follow(WATCHED_POOLS, _of_deployment, resync=True),
    ),
)
