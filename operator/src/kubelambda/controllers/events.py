"""Kubernetes Events, only when the Ready condition of an object changes (KOPF §13)."""

import logging
import os
import uuid
from datetime import UTC, datetime

from kubelambda.api.conditions import Condition
from kubelambda.kube.client import KubeClient, Object
from kubelambda.kube.errors import KubeError
from kubelambda.kube.resources import EVENTS, Resource

log = logging.getLogger(__name__)


async def record(client: KubeClient, resource: Resource, body: Object, ready: Condition) -> None:
    """Tells of a transition; an event that cannot be written is not worth a retry."""
    metadata = body["metadata"]
    namespace = metadata.get("namespace", "default")
    manifest = {
        "metadata": {"name": f"{metadata['name'][:200]}.{uuid.uuid4().hex[:16]}", "namespace": namespace},
        "eventTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "type": "Normal" if ready.status == "True" else "Warning",
        "reason": ready.reason,
        "action": "Reconcile",
        "note": ready.message[:1024],
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
        await client.create(EVENTS, manifest, namespace)
    except KubeError as error:
        log.info("an event was not recorded: %s", error)
