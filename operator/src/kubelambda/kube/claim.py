"""Taking a pool pod for a function, and giving it the function's size (DESIGN §4)."""

from datetime import datetime
from functools import partial
from typing import Any

from kubelambda.api import labels
from kubelambda.api.conditions import timestamp
from kubelambda.kube.errors import Conflict, NotFound
from kubelambda.kube.kube_client import STRATEGIC_MERGE_PATCH, KubeClient, Object
from kubelambda.kube.outage import REFUSALS, through_outage
from kubelambda.kube.resources import PODS

_CONFLICTS_MAX = 20


class ClaimLost(Exception):
    """The pod is gone, or belongs to somebody else."""


async def claim(
    client: KubeClient,
    namespace: str,
    pod: str,
    *,
    resource_version: str,
    function_labels: dict[str, str],
    owner: dict[str, Any],
    now: datetime,
) -> None:
    """One conditional PATCH: out of the pool, into the function. Raises `ClaimLost`, or `KubeError` for a refusal.

    A conflict because the kubelet reported a status in the meantime is tried again with what the pod is now; while the
    API server is away the claim waits for it. A pod that has all of these labels is claimed: an answer was lost.
    One that was opened for another network than the function's meanwhile is lost: it would be in both.
    """
    metadata = {
        "labels": {labels.POOL: None, **function_labels},
        "annotations": {labels.CLAIMED_AT: timestamp(now)},
        "ownerReferences": [owner],
    }
    for _ in range(_CONFLICTS_MAX):
        patch = {"metadata": {"resourceVersion": resource_version, **metadata}}
        try:
            await through_outage(partial(client.patch, PODS, pod, patch, namespace), refusals=REFUSALS)
            return
        except NotFound as error:
            raise ClaimLost(f"pod {pod} is gone") from error
        except Conflict:
            found = await _current(client, namespace, pod)
            if function_labels.items() <= found["labels"].items():
                return
            if labels.POOL not in found["labels"]:
                raise ClaimLost(f"pod {pod} is not in a pool any more") from None
            network = function_labels.get(labels.NETWORK_SET)
            if found["labels"].get(labels.NETWORK_SET, network) != network:
                raise ClaimLost(f"pod {pod} is open for another network") from None
            resource_version = found["resourceVersion"]
    raise ClaimLost(f"pod {pod} changes faster than it can be claimed")


async def _current(client: KubeClient, namespace: str, pod: str) -> Object:
    try:
        metadata: Object = (await through_outage(lambda: client.get(PODS, pod, namespace)))["metadata"]
    except NotFound as error:
        raise ClaimLost(f"pod {pod} is gone") from error
    if "deletionTimestamp" in metadata:
        raise ClaimLost(f"pod {pod} ends")
    return {"labels": {}, **metadata}


async def resize(client: KubeClient, namespace: str, pod: str, resources: dict[str, dict[str, str]]) -> None:
    """Asks for an in-place resize of the environment's container. Raises `KubeError` for a refusal."""
    patch = {"spec": {"containers": [{"name": labels.CONTAINER, "resources": resources}]}}
    await through_outage(
        lambda: client.patch(PODS, pod, patch, namespace, subresource="resize", content_type=STRATEGIC_MERGE_PATCH)
    )
