"""Kubernetes Events: one sentence about an object, for whoever describes it."""

import logging
import os
import uuid
from datetime import UTC, datetime

from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import EVENTS, Resource

_NOTE_MAX_CHARS = 1024

log = logging.getLogger(__name__)


async def record_event(
    client: KubeClient, resource: Resource, metadata: Object, reason: str, note: str, *, warning: bool, action: str
) -> None:
    """Tells of an object; an event that cannot be written is not worth a retry."""
    namespace = metadata.get("namespace", "default")
    event = {
        "metadata": {"name": f"{metadata['name'][:200]}.{uuid.uuid4().hex[:16]}", "namespace": namespace},
        "eventTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "action": action,
        "note": note[:_NOTE_MAX_CHARS],
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
    try:
        await client.create(EVENTS, event, namespace)
    except KubeError as error:
        log.info("an event was not recorded: %s", error)
