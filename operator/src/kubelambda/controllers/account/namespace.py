"""Reconciles a namespace with functions: its account id, and the policy that keeps others away from the agents."""

import contextlib

from kubelambda.api import labels
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.core.account.identity import namespace_account_id
from kubelambda.kube.errors import NotFound
from kubelambda.kube.resources import NAMESPACES, NETWORK_POLICIES
from kubelambda.resources.environment_network_policy import POLICY_NAME, environment_network_policy


async def reconcile(context: Context, key: Key) -> Outcome:
    """The namespace `key.name`."""
    namespace = context.state.namespaces.get(key.name)
    if namespace is None or namespace.terminating:
        return None
    if not context.state.functions.get(key.name):
        with contextlib.suppress(NotFound):
            await context.client.delete(NETWORK_POLICIES, POLICY_NAME, key.name)
        return None
    policy = environment_network_policy(key.name, context.settings.system_namespace)
    await context.client.apply(NETWORK_POLICIES, policy, manager=FIELD_MANAGER)
    account = namespace_account_id(namespace.uid, namespace.annotations)
    if namespace.annotations.get(labels.ACCOUNT_ID) != account:
        patch = {"metadata": {"annotations": {labels.ACCOUNT_ID: account}}}
        await context.client.patch(NAMESPACES, key.name, patch)
    return None
