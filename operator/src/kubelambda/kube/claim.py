"""Taking a pool pod for a function, and giving it the function's size (DESIGN §4)."""

import asyncio
from datetime import datetime
from typing import Any

from kubelambda.api import labels
from kubelambda.api.conditions import timestamp
from kubelambda.kube.errors import Conflict, KubeError, NotFound, Overloaded, Unreachable
from kubelambda.kube.kube_client import STRATEGIC_MERGE_PATCH, KubeClient
from kubelambda.kube.resources import PODS

_ATTEMPTS = 20
_PAUSE_S = 0.25


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
    """One conditional PATCH: out of the pool, into the function. Raises `ClaimLost`, or `KubeError` when it stays away.

    A conflict because the kubelet reported a status in the meantime is tried again with what the pod is now.
    """
    patch_labels: dict[str, str | None] = {labels.POOL: None, **function_labels}
    annotations = {labels.CLAIMED_AT: timestamp(now)}
    last: KubeError | None = None
    for _ in range(_ATTEMPTS):
        metadata = {
            "resourceVersion": resource_version,
            "labels": patch_labels,
            "annotations": annotations,
            "ownerReferences": [owner],
        }
        try:
            await client.patch(PODS, pod, {"metadata": metadata}, namespace)
            return
        except NotFound as error:
            raise ClaimLost(f"pod {pod} is gone") from error
        except Conflict:
            resource_version = await _current_version(client, namespace, pod)
        except (Unreachable, Overloaded) as error:
            last = error
            await asyncio.sleep(_PAUSE_S)
    raise last or ClaimLost(f"pod {pod} changes faster than it can be claimed")


async def _current_version(client: KubeClient, namespace: str, pod: str) -> str:
    try:
        metadata = (await client.get(PODS, pod, namespace))["metadata"]
    except NotFound as error:
        raise ClaimLost(f"pod {pod} is gone") from error
    if labels.POOL not in metadata["labels"] or "deletionTimestamp" in metadata:
        raise ClaimLost(f"pod {pod} is not in a pool any more")
    version: str = metadata["resourceVersion"]
    return version


async def resize(client: KubeClient, namespace: str, pod: str, resources: dict[str, dict[str, str]]) -> None:
    """Asks for an in-place resize of the environment's container. Raises `KubeError`."""
    patch = {"spec": {"containers": [{"name": labels.CONTAINER, "resources": resources}]}}
    await client.patch(PODS, pod, patch, namespace, subresource="resize", content_type=STRATEGIC_MERGE_PATCH)
