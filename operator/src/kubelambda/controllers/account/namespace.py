"""Reconciles a namespace with functions: its account id, and the policy that keeps others away from the agents."""

import contextlib
import os
from collections.abc import Iterable
from functools import partial

from kubelambda.api import labels
from kubelambda.controllers.account.access import AccountAccess
from kubelambda.controllers.account.binding_facts import WATCHED_BINDINGS, BindingFacts
from kubelambda.controllers.account.namespace_facts import (
    WATCHED_NAMESPACES,
    NamespaceFacts,
    claim_of,
    namespace_key,
)
from kubelambda.controllers.account.policy_facts import WATCHED_POLICIES, PolicyFacts
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.machinery import changes, desired
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.core.account.identity import namespace_account_id, rightful_account_id
from kubelambda.kube.errors import Forbidden
from kubelambda.kube.event_recorder import record_event
from kubelambda.kube.resources import ENDPOINT_SLICES, NAMESPACES
from kubelambda.resources.environment_network_policy import POLICY_NAMES, environment_network_policies


async def reconcile(access: AccountAccess, context: Context, key: Key) -> Outcome:
    """The namespace `key.name`."""
    namespace = context.cluster[WATCHED_NAMESPACES].get("", key.name)
    if namespace is None or namespace.terminating:
        return None
    if key.name not in context.cluster[WATCHED_FUNCTIONS].namespaces():
        if not await access.is_granted(context, key.name):
            return None
        await _delete_policies(context, key)
        return await access.revoke(context, key.name)
    await access.grant(context, key.name)
    await _keep_policies(context, key)
    await _name_account(context, key, namespace)
    return None


async def _keep_policies(context: Context, key: Key) -> None:
    """The policies of its environments; none where the installation wants none."""
    settings = context.settings
    if not settings.network.policies:
        await _delete_policies(context, key)
        return
    servers = [] if settings.network.api_server else await _api_servers(context)
    for policy in environment_network_policies(key.name, settings.system_namespace, settings.network, servers):
        await desired.keep(context, WATCHED_POLICIES, policy, by=key)


async def _delete_policies(context: Context, key: Key) -> None:
    known = {name for name, _ in context.cluster[WATCHED_POLICIES].within(key.name)}
    for name in known.intersection(POLICY_NAMES):
        with contextlib.suppress(Forbidden):
            await desired.remove(context, WATCHED_POLICIES, key.name, name, by=key)


async def _api_servers(context: Context) -> list[str]:
    """Addresses of the API server: those behind its Service, and the Service's own."""
    found = await context.client.find(ENDPOINT_SLICES, "kubernetes", "default")
    behind = [address for endpoint in (found or {}).get("endpoints") or [] for address in endpoint["addresses"]]
    return sorted({*behind, *filter(None, [os.environ.get("KUBERNETES_SERVICE_HOST")])})


async def _name_account(context: Context, key: Key, namespace: NamespaceFacts) -> None:
    """Writes the account id down. One that another namespace has with more right is replaced, and that is told."""
    written = namespace.annotations.get(labels.ACCOUNT_ID)
    others = [claim_of(facts) for (_, other), facts in context.cluster[WATCHED_NAMESPACES] if other != key.name]
    account = rightful_account_id(claim_of(namespace), others)
    if written == account:
        return
    patch = {"metadata": {"annotations": {labels.ACCOUNT_ID: account}}}
    body = await context.client.patch(NAMESPACES, key.name, patch)
    await changes.observe(context, WATCHED_NAMESPACES, body, by=key)
    if written is not None:
        note = (
            f"the account id {written} of annotation {labels.ACCOUNT_ID} cannot be had: it is not 12 digits, or "
            f"belongs to another namespace; this namespace is account {account}"
        )
        await record_event(
            context.client, NAMESPACES, body["metadata"], "AccountIdRefused", note, warning=True, action="Reconcile"
        )


def _itself(change: Change[NamespaceFacts]) -> Iterable[Key]:
    """And those who may now have, or have no more, the account id that they name."""
    yield namespace_key(change.name)
    ids = {namespace_account_id(facts.uid, facts.annotations) for facts in change.either}
    for (_, name), facts in change.cluster[WATCHED_NAMESPACES]:
        if name != change.name and namespace_account_id(facts.uid, facts.annotations) in ids:
            yield namespace_key(name)


def _with_functions(change: Change[NamespaceFacts]) -> Iterable[Key]:
    if any(change.cluster[WATCHED_FUNCTIONS].within(change.name)):
        yield namespace_key(change.name)


def _first_or_last(change: Change[FunctionFacts]) -> Iterable[Key]:
    """One of several comes and goes without a word to its namespace."""
    within = change.cluster[WATCHED_FUNCTIONS].within(change.namespace)
    if (change.before is None or change.after is None) and all(name == change.name for name, _ in within):
        yield namespace_key(change.namespace)


def _binding_holder(change: Change[BindingFacts]) -> Iterable[Key]:
    yield namespace_key(change.namespace)


def _policy_holder(change: Change[PolicyFacts]) -> Iterable[Key]:
    if any(facts.of == labels.NETWORK_POLICY_BASE for facts in change.either):
        yield namespace_key(change.namespace)


def controller(access: AccountAccess, *, binds: bool) -> Controller[Context]:
    """Reconciles namespaces. `binds`: roles too; where others bind them, the operator may not see how."""
    # Those of a namespace without Functions are in nobody's way.
    bindings = Follow(WATCHED_BINDINGS, _binding_holder, resync=True, settled=lambda _: True)
    return Controller(
        NAMESPACES.kind,
        partial(reconcile, access),
        follows=(
            Follow(WATCHED_NAMESPACES, _itself),
            Follow(WATCHED_NAMESPACES, _with_functions, resync=True),
            Follow(WATCHED_FUNCTIONS, _first_or_last),
            *((bindings,) if binds else ()),
            Follow(WATCHED_POLICIES, _policy_holder, resync=True),
        ),
    )
