"""Provisioned environments: what is granted in an account, what there is, and the Deployments that make it so."""

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import replace

from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.controllers.account.namespace_facts import quota_of
from kubelambda.controllers.function.alias_facts import WATCHED_ALIASES, the_aliases
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.function.provisioned_facts import (
    WATCHED_PROVISIONED_DEPLOYMENTS,
    WATCHED_PROVISIONED_PODS,
)
from kubelambda.controllers.function.version_facts import WATCHED_VERSIONS
from kubelambda.controllers.function.version_memory import VersionMemory
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.controllers.pool.runtime_facts import WATCHED_RUNTIMES
from kubelambda.core.account.provisioned_grant import ProvisionRequest, grant_provisioned
from kubelambda.core.account.reserved_concurrency import Grant
from kubelambda.core.environment import tokens
from kubelambda.core.function.provisioning import NO_PROVISION, Provision
from kubelambda.kube.errors import NotFound
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import DEPLOYMENTS, FUNCTION_VERSIONS
from kubelambda.resources.closure_check import closure_check
from kubelambda.resources.provisioned_deployment import provisioned_deployment


def granted(memory: VersionMemory, context: Context, key: Key, uid: str) -> Grant:
    """What one alias or version has, decided and remembered in one go: two that ask at once never get the same."""
    cluster, namespace = context.cluster, key.namespace
    functions = dict(cluster[WATCHED_FUNCTIONS].within(namespace))
    grants = grant_provisioned(
        _requests(memory, context, namespace),
        reserved={name: facts.granted for name, facts in functions.items() if facts.granted is not None},
        quota=quota_of(context, namespace),
        minimum=context.settings.unreserved_minimum,
    )
    found = grants.get(uid, Grant(0))
    memory.provisioned.decide(key, uid, found.granted or 0)
    return found


def _requests(memory: VersionMemory, context: Context, namespace: str) -> list[ProvisionRequest]:
    found = []
    for alias in the_aliases(facts for _, facts in context.cluster[WATCHED_ALIASES].within(namespace)):
        previous = memory.provisioned.of(alias.uid, alias.allocated)
        if alias.requested or previous:
            versions = frozenset(int(each) for each in alias.provisions if each.isdecimal())
            found.append(
                ProvisionRequest(
                    alias.uid, alias.function, alias.created, alias.requested, previous, versions, alias=True
                )
            )
    for _, version in context.cluster[WATCHED_VERSIONS].within(namespace):
        previous = memory.provisioned.of(version.uid, version.allocated)
        if version.number is not None and (version.requested or previous):
            numbers = frozenset([version.number])
            found.append(
                ProvisionRequest(version.uid, version.function, version.created, version.requested, previous, numbers)
            )
    return found


def provisions(
    memory: VersionMemory, context: Context, namespace: str, function: str, qualifier: str
) -> dict[str, Provision]:
    """What there is for an alias or version number, by version; environments of a former revision do not count."""
    cluster = context.cluster
    revisions = {
        str(facts.number): facts.revision
        for _, facts in cluster[WATCHED_VERSIONS].within(namespace)
        if facts.function == function and facts.revision
    }
    found: dict[str, Provision] = {}
    for _, deployment in cluster[WATCHED_PROVISIONED_DEPLOYMENTS].within(namespace):
        if (deployment.function, deployment.qualifier) == (function, qualifier):
            found[deployment.version] = Provision(failure=deployment.failure, replicas=deployment.replicas)
    for _, pod in cluster[WATCHED_PROVISIONED_PODS].within(namespace):
        if (pod.function, pod.qualifier) == (function, qualifier):
            known = found.get(pod.version, NO_PROVISION)
            serves = pod.ready and not pod.released and pod.uid not in memory.doomed
            found[pod.version] = replace(
                known,
                available=known.available + (serves and pod.revision == revisions.get(pod.version)),
                serving=known.serving + serves,
                failure=known.failure or pod.failure,
                init_error=known.init_error or pod.init_error,
            )
    return found


async def keep(
    memory: VersionMemory,
    context: Context,
    namespace: str,
    function: tuple[str, FunctionFacts],
    qualifier: str,
    *,
    owner: Object,
    replicas: Mapping[str, int],
) -> None:
    """Makes the Deployments of an alias or version have `replicas` by version, and removes all others of it."""
    name, facts = function
    await _remove(
        memory, context, namespace, name, qualifier, but={version for version, count in replicas.items() if count}
    )
    for version, count in replicas.items():
        if not count:
            continue
        configuration, runtime = await _configuration(context, namespace, name, version)
        if configuration is None or runtime is None:
            continue
        manifest = provisioned_deployment(
            namespace,
            configuration,
            runtime,
            context.settings.environments,
            function=name,
            function_uid=facts.uid,
            qualifier=qualifier,
            owner=owner,
            replicas=count,
            token_sha256=tokens.pool_token_sha256(context.key, namespace),
            closure=closure_check(context.settings),
        )
        body = await context.client.apply(DEPLOYMENTS, manifest, manager=FIELD_MANAGER)
        await changes.observe(context, WATCHED_PROVISIONED_DEPLOYMENTS, body)


async def _remove(
    memory: VersionMemory, context: Context, namespace: str, function: str, qualifier: str, *, but: Collection[str]
) -> None:
    """Removes the Deployments of an alias or version; those of the versions in `but` stay.

    Their pods never count again: one that is made anew a moment later would seem to have all of its own already.
    """
    for name, known in list(context.cluster[WATCHED_PROVISIONED_DEPLOYMENTS].within(namespace)):
        if (known.function, known.qualifier) == (function, qualifier) and known.version not in but:
            pods = context.cluster[WATCHED_PROVISIONED_PODS]
            memory.doomed &= {pod.uid for _, pod in pods}
            memory.doomed |= {
                pod.uid
                for _, pod in pods.within(namespace)
                if (pod.function, pod.qualifier, pod.version) == (function, qualifier, known.version)
            }
            with contextlib.suppress(NotFound):
                await context.client.delete(DEPLOYMENTS, name, namespace)


async def _configuration(
    context: Context, namespace: str, function: str, version: str
) -> tuple[DeployedConfiguration | None, RuntimeSpec | None]:
    """What a version runs, and its runtime."""
    for name, facts in context.cluster[WATCHED_VERSIONS].within(namespace):
        if facts.function == function and str(facts.number) == version and facts.sha256 is not None:
            body = await context.client.find(FUNCTION_VERSIONS, name, namespace)
            deployed = ((body or {}).get("status") or {}).get("deployed")
            runtime = context.cluster[WATCHED_RUNTIMES].get("", facts.runtime or "")
            if deployed is None or runtime is None:
                return None, None
            return (
                DeployedConfiguration.model_validate(deployed, extra="ignore"),
                RuntimeSpec.model_validate(runtime.spec, extra="ignore"),
            )
    return None, None
