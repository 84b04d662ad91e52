"""What the Runtime and its pool may know of the pool's Deployment."""

from dataclasses import dataclass

from kubelambda.api import labels
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.core.pool.runtime_status import PoolFacts
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import DEPLOYMENTS


@dataclass(frozen=True, slots=True)
class PoolDeploymentFacts:
    """The parts of a pool's Deployment that decisions are made by."""

    pool_id: str
    runtime: str
    generation: int
    """Of its spec: somebody, maybe ourselves, changed it."""
    pool: PoolFacts


def pool_deployment_facts(body: Object) -> PoolDeploymentFacts:
    """The facts of a pool's Deployment."""
    metadata, status = body["metadata"], body.get("status") or {}
    found = {condition["type"]: condition for condition in status.get("conditions") or []}
    stuck, refused = found.get("Progressing", {}), found.get("ReplicaFailure", {})
    failing = refused if refused.get("status") == "True" else stuck if stuck.get("status") == "False" else {}
    return PoolDeploymentFacts(
        pool_id=metadata["labels"][labels.POOL],
        runtime=metadata["labels"].get(labels.RUNTIME, metadata["labels"][labels.POOL]),
        generation=metadata["generation"],
        pool=PoolFacts(
            metadata["namespace"], status.get("readyReplicas", 0), failing.get("message"), has_pods=failing is stuck
        ),
    )


WATCHED_POOLS = Watch(DEPLOYMENTS, pool_deployment_facts, label=labels.POOL)
