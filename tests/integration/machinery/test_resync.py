"""The resync against a real API server: what watches missed is found, what vanished is dropped."""

from collections.abc import AsyncIterator

import pytest
from tests.integration.functions import Functions

from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.settings import Settings
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.machinery import resync
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.queues import SHARED, Queues
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.controllers.pool.runtime_facts import WATCHED_RUNTIMES
from kubelambda.controllers.registry import controllers
from kubelambda.core.environment.pool_identity import PoolIdentity
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import DEPLOYMENTS, FUNCTIONS, ROLE_BINDINGS
from kubelambda.resources.account_role_binding import account_role_bindings
from kubelambda.resources.pool_deployment import pool_deployment
from kubelambda.store.code.code_fetcher import CodeFetcher
from kubelambda.store.code.code_store import CodeStore


@pytest.fixture
async def context(client: KubeClient) -> AsyncIterator[Context]:
    """What the reconcilers get, with nobody at work."""
    async with CodeStore("http://127.0.0.1:9", b"key") as store, CodeFetcher("http://127.0.0.1:9", b"key") as fetcher:
        found = controllers(CodeState(store, fetcher), binds=True)
        yield Context(client, Settings(), b"key", found, Queues(found))


def due(context: Context) -> set[Key]:
    """Keys that are due now or soon; forgets them."""
    found = set(context.queues.by_name[SHARED]._due)
    context.queues.by_name[SHARED]._due.clear()
    return found


async def test_everything_is_looked_at(context: Context, functions: Functions) -> None:
    """Functions, their pools, runtimes, and the namespaces that have any."""
    functions.apply("one")
    await resync.load(context)
    found = due(context)
    for key in (
        Key("Function", functions.namespace, "one"),
        Key("Pool", functions.namespace, "python3.13"),
        Key("Namespace", functions.namespace, functions.namespace),
        Key("Runtime", "", "python3.13"),
    ):
        assert key in found


async def test_a_change_that_no_watch_delivered_is_noticed(context: Context, functions: Functions) -> None:
    """New functions, changed ones, and ghosts; nothing when all was known."""
    functions.apply("changes")
    functions.apply("goes")
    await resync.load(context)
    assert not any((await resync.load(context)).values())
    functions.apply("changes", timeout=9)
    functions.apply("comes")
    await functions.client.delete(FUNCTIONS, "goes", functions.namespace)
    due(context)
    assert (await resync.load(context))[WATCHED_FUNCTIONS] == 3
    assert Key("Function", functions.namespace, "goes") in due(context)


async def test_roles_that_stayed_bound_without_functions_are_found(context: Context, functions: Functions) -> None:
    """The last function went, and then the operator, before it took them back."""
    (binding,) = account_role_bindings(functions.namespace, "system", {"kubelambda-operator": "role"})
    await functions.client.apply(ROLE_BINDINGS, binding, manager="test")
    await resync.load(context)
    assert Key("Namespace", functions.namespace, functions.namespace) in due(context)


async def test_a_pool_without_functions_is_found(context: Context, functions: Functions) -> None:
    """Its last function went while nobody looked."""
    await resync.load(context)
    runtime = context.cluster[WATCHED_RUNTIMES].get("", "python3.13")
    assert runtime is not None
    spec = RuntimeSpec.model_validate(runtime.spec)
    manifest = pool_deployment(
        functions.namespace,
        PoolIdentity("python3.13"),
        "uid",
        spec,
        Settings().environments,
        size=1,
        token_sha256="0" * 64,
    )
    await functions.client.create(DEPLOYMENTS, manifest, functions.namespace)
    due(context)
    await resync.load(context)
    assert Key("Pool", functions.namespace, "python3.13") in due(context)
    await functions.client.delete(DEPLOYMENTS, manifest["metadata"]["name"], functions.namespace)
