"""Versions, aliases and provisioned environments as the operator and Kubernetes leave them."""

import contextlib
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from tests.integration.loopback import RUNTIME, Cluster
from tests.integration.processes import KEY

from kubelambda.api import labels
from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.api.settings import EnvironmentSettings
from kubelambda.core.environment import tokens
from kubelambda.frontend.frontend import Frontend
from kubelambda.kube.errors import Conflict, KubeError
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ALIASES, FUNCTION_VERSIONS, FUNCTIONS, PODS, Resource
from kubelambda.resources.provisioned_deployment import provisioned_deployment

SHOW = """
import os
def handler(event, context):
    names = ("AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_STREAM_NAME")
    found = {name: os.environ[name] for name in names}
    return {"code": CODE, "arn": context.invoked_function_arn, "version": context.function_version, **found}
"""


GATED = SHOW.replace(
    "    names =",
    """    import time
    if event:
        open(f"{event}.{os.getpid()}", "w").close()
    while event and not os.path.exists(event):
        time.sleep(0.02)
    names =""",
)
"""The same, once the file is there that the event names; a file beside it is there for each that waits."""


async def publish(cluster: Cluster, function: str, number: int, source: str, **deployed: Any) -> None:
    """Version `number` of a function, whose $LATEST has that code from then on too."""
    await cluster.function(function, source, revision=f"{number:016x}", **deployed)
    found = await cluster.client.get(FUNCTIONS, function, cluster.namespace)
    snapshot = {**found["status"]["deployed"], "version": str(number)}
    status = {"version": str(number), "state": "Active", "deployed": snapshot}
    await _put(cluster, FUNCTION_VERSIONS, f"{function}-{number}", {"functionName": function}, status)


async def point(
    cluster: Cluster, function: str, alias: str, version: str, *, weights: Any = None, provisioned: int = 0
) -> None:
    """An alias that leads to a version, with so many provisioned environments granted."""
    spec = {"functionName": function, "name": alias, "functionVersion": version}
    status: Object = {"routedVersion": version, "routedVersionWeights": weights or {}, "provisionedConcurrency": None}
    if provisioned:
        units = {"requested": provisioned, "allocated": provisioned, "available": 0, "status": "IN_PROGRESS"}
        status["provisionedConcurrency"] = units
    await _put(cluster, ALIASES, f"{function}-{alias}", spec, status)


async def _put(cluster: Cluster, resource: Resource, name: str, spec: Object, status: Object) -> None:
    manifest = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "spec": spec}
    with contextlib.suppress(Conflict):
        await cluster.client.create(resource, manifest, cluster.namespace)
    await cluster.client.patch(resource, name, {"status": status}, cluster.namespace, subresource="status")


async def provision(cluster: Cluster, function: str, number: int, qualifier: str, pods: int = 1) -> list[str]:
    """Pods of the Deployment that the operator makes, as its ReplicaSet makes them."""
    owner = await cluster.client.get(FUNCTIONS, function, cluster.namespace)
    version = await cluster.client.get(FUNCTION_VERSIONS, f"{function}-{number}", cluster.namespace)
    deployment = provisioned_deployment(
        cluster.namespace,
        DeployedConfiguration.model_validate(version["status"]["deployed"]),
        RUNTIME,
        EnvironmentSettings(),
        function=function,
        function_uid=owner["metadata"]["uid"],
        qualifier=qualifier,
        owner={},
        replicas=pods,
        token_sha256=tokens.pool_token_sha256(KEY, cluster.namespace),
    )
    template = deployment["spec"]["template"]
    template["spec"]["nodeName"] = "node-1"
    names = []
    for _ in range(pods):
        metadata = {"generateName": f"{deployment['metadata']['name']}-", **template["metadata"]}
        created = await cluster.client.create(PODS, {"metadata": metadata, "spec": template["spec"]}, cluster.namespace)
        names.append(created["metadata"]["name"])
    return names


async def initialized(cluster: Cluster, names: list[str]) -> bool:
    """Whether all of these pods are ready for Kubernetes."""
    ready = [
        pod["metadata"]["name"]
        for pod in await cluster.pods()
        for condition in pod.get("status", {}).get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    ]
    return set(names) <= set(ready)


def available(frontend: Frontend, qualifier: str, version: str = "1") -> int:
    """Provisioned environments that a frontend has for callers: it may know of one later than Kubernetes."""
    found = [each for each in frontend.owned if each.target.configuration.version == version]
    return sum(dispatcher.placement.available(qualifier) for dispatcher in found)


async def delete(cluster: Cluster, resource: Resource, name: str) -> None:
    """As a user does."""
    with contextlib.suppress(KubeError):
        await cluster.client.delete(resource, name, cluster.namespace)


async def init_failures(cluster: Cluster) -> list[str]:
    """Why provisioned environments of the namespace are not initialized."""
    found = [pod["metadata"].get("annotations", {}).get(labels.INIT_FAILURE_MESSAGE) for pod in await cluster.pods()]
    return [failure for failure in found if failure]


def sample(registry: CollectorRegistry, name: str, found: Mapping[str, str]) -> float | None:
    """The present value of a series."""
    return registry.get_sample_value(name, dict(found))
