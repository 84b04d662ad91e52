"""Events of conditions, only when Ready changes: nobody reads an event for each retry."""

from collections.abc import Sequence

from kubelambda.api.conditions import Condition
from kubelambda.kube.event_recorder import record_event
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import Resource


async def record_transition(
    client: KubeClient, resource: Resource, body: Object, before: Sequence[Condition], after: Sequence[Condition]
) -> None:
    """Tells of a new Ready condition."""
    ready = _ready(after)
    if ready is None or _said(ready) == _said(_ready(before)):
        return
    warning = ready.status == "False" and ready.reason != "InProgress"
    await record_event(
        client, resource, body["metadata"], ready.reason, ready.message, warning=warning, action="Reconcile"
    )


def _ready(conditions: Sequence[Condition]) -> Condition | None:
    return next((condition for condition in conditions if condition.type == "Ready"), None)


def _said(ready: Condition | None) -> tuple[str, str, str] | None:
    return (ready.status, ready.reason, ready.message) if ready else None
