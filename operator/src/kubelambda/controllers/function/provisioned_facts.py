"""What an alias or version may know of its provisioned environments: their Deployments, and each pod."""

from dataclasses import dataclass

from kubelambda.api import labels
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import DEPLOYMENTS, PODS

_INIT_FAILED = "FUNCTION_ERROR_INIT_FAILURE"
"""Lambda's word for it (§5.5); the pod's annotation says what happened."""


@dataclass(frozen=True, slots=True)
class ProvisionedPodFacts:
    """One provisioned environment."""

    uid: str
    function: str
    qualifier: str
    version: str
    revision: str
    ready: bool
    failure: str
    init_error: str
    released: bool
    """Whether the frontends have let go of it."""


@dataclass(frozen=True, slots=True)
class ProvisionedDeploymentFacts:
    """The Deployment of one version."""

    function: str
    qualifier: str
    version: str
    generation: int
    """Of its spec: somebody, maybe ourselves, changed it."""
    replicas: int
    failure: str
    """Why the cluster does not make its pods."""


type Provisioned = ProvisionedPodFacts | ProvisionedDeploymentFacts
"""Either of them says whose it is."""


def provisioned_pod_facts(body: Object) -> ProvisionedPodFacts:
    """The facts of a provisioned environment's pod."""
    metadata, status = body["metadata"], body.get("status") or {}
    found, said = metadata["labels"], metadata.get("annotations") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or [])
    return ProvisionedPodFacts(
        uid=metadata["uid"],
        function=found[labels.FUNCTION],
        qualifier=said.get(labels.PROVISIONED, found[labels.PROVISIONED]),
        version=found[labels.FUNCTION_VERSION],
        revision=found[labels.REVISION],
        ready=ready and "deletionTimestamp" not in metadata,
        failure=_INIT_FAILED if labels.INIT_FAILURE in said else "",
        init_error=said.get(labels.INIT_FAILURE_MESSAGE, ""),
        released=said.get(labels.DELETION_COST) == labels.DELETION_COST_FIRST,
    )


def provisioned_deployment_facts(body: Object) -> ProvisionedDeploymentFacts:
    """The facts of a Deployment of provisioned environments."""
    metadata, status = body["metadata"], body.get("status") or {}
    found = metadata["labels"]
    refused: Object = next((c for c in status.get("conditions") or [] if c["type"] == "ReplicaFailure"), {})
    return ProvisionedDeploymentFacts(
        function=found[labels.FUNCTION],
        qualifier=(metadata.get("annotations") or {}).get(labels.PROVISIONED, found[labels.PROVISIONED]),
        version=found[labels.FUNCTION_VERSION],
        generation=metadata["generation"],
        replicas=body["spec"].get("replicas", 1),
        failure=refused.get("message", "") if refused.get("status") == "True" else "",
    )


WATCHED_PROVISIONED_PODS = Watch(PODS, provisioned_pod_facts, label=labels.PROVISIONED)
WATCHED_PROVISIONED_DEPLOYMENTS = Watch(DEPLOYMENTS, provisioned_deployment_facts, label=labels.PROVISIONED)
