"""Events of conditions, only when one of those changes that people wait for: nobody reads an event for each retry."""

from collections.abc import Sequence
from typing import Final

from kubelambda.api.conditions import Condition
from kubelambda.api.reasons import Reason
from kubelambda.core.event.named_targets import DESTINATIONS_READY
from kubelambda.kube.event_recorder import record_event
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import Resource

_READY: Final = "Ready"
_TOLD: Final = (_READY, "ProvisionedConcurrencyReady", DESTINATIONS_READY)


async def record_transition(
    client: KubeClient, resource: Resource, body: Object, before: Sequence[Condition], after: Sequence[Condition]
) -> None:
    """Tells of a new Ready condition, and of provisioned concurrency or destinations: missing, and there again."""
    former, present = ({each.type: each for each in conditions} for conditions in (before, after))
    told: set[tuple[str, str]] = set()
    for condition in (present[kind] for kind in _TOLD if kind in present):
        said = condition.reason, condition.message
        if said in told or not _is_news(former.get(condition.type), condition):
            continue
        told.add(said)
        await record_event(client, resource, body["metadata"], *said, warning=_warns(condition), action="Reconcile")


def _is_news(before: Condition | None, after: Condition) -> bool:
    """Messages of the others count, or name, what there is: that alone is no news. Nor is that all is well at first."""
    if after.type == _READY:
        known = (before.status, before.reason, before.message) if before else None
        return known != (after.status, after.reason, after.message)
    if before is None:
        return _warns(after)
    return (before.status, before.reason) != (after.status, after.reason)


def _warns(condition: Condition) -> bool:
    return condition.status == "False" and condition.reason != Reason.IN_PROGRESS
