"""Kubernetes Events, only when the Ready condition of an object changes: nobody reads an event for each retry."""

import logging
import os
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from kubelambda.api.conditions import Condition
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import EVENTS, Resource

_NOTE_MAX_CHARS = 1024

log = logging.getLogger(__name__)


async def record_transition(
    client: KubeClient, resource: Resource, body: Object, before: Sequence[Condition], after: Sequence[Condition]
) -> None:
    """Tells of a new Ready condition; an event that cannot be written is not worth a retry."""
    ready = _ready(after)
    if ready is None or _said(ready) == _said(_ready(before)):
        return
    try:
        await client.create(
            EVENTS, _event(resource, body["metadata"], ready), body["metadata"].get("namespace", "default")
        )
    except KubeError as error:
        log.info("an event was not recorded: %s", error)


def _event(resource: Resource, metadata: Object, ready: Condition) -> Object:
    return {
        "metadata": {
            "name": f"{metadata['name'][:200]}.{uuid.uuid4().hex[:16]}",
            "namespace": metadata.get("namespace", "default"),
        },
        "eventTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "type": "Warning" if ready.status == "False" and ready.reason != "InProgress" else "Normal",
        "reason": ready.reason,
        "action": "Reconcile",
        "note": ready.message[:_NOTE_MAX_CHARS],
        "reportingController": "kubelambda.dev/operator",
        "reportingInstance": os.environ.get("KUBELAMBDA_POD_NAME", "operator"),
        "regarding": {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata["uid"],
        },
    }


def _ready(conditions: Sequence[Condition]) -> Condition | None:
    return next((condition for condition in conditions if condition.type == "Ready"), None)


def _said(ready: Condition | None) -> tuple[str, str, str] | None:
    return (ready.status, ready.reason, ready.message) if ready else None
