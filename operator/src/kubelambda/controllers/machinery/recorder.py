"""Events of conditions, only when one of those changes that people wait for: nobody reads an event for each retry."""

from collections.abc import Sequence
from typing import Final

from kubelambda.api.conditions import Condition
from kubelambda.api.reasons import Reason
from kubelambda.kube.event_recorder import record_event
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import Resource

_READY: Final = "Ready"
_COUNTED: Final = "ProvisionedConcurrencyReady"
"""Its message counts environments: each of them is no news. Nor is that the first ones are awaited."""


async def record_transition(
    client: KubeClient, resource: Resource, body: Object, before: Sequence[Condition], after: Sequence[Condition]
) -> None:
    """Tells of a new Ready condition, and of provisioned concurrency that is not there, or there again."""
    former = {condition.type: condition for condition in before}
    found = {condition.type: condition for condition in after}
    for kind in (_READY, _COUNTED):
        condition = found.get(kind)
        if condition is None or _said(condition) == _said(former.get(kind)):
            continue
        awaited = condition.status == "False" and condition.reason == Reason.IN_PROGRESS
        if kind == _COUNTED and awaited and kind not in former:
            continue
        warning = condition.status == "False" and not awaited
        await record_event(
            client, resource, body["metadata"], condition.reason, condition.message, warning=warning, action="Reconcile"
        )


def _said(condition: Condition | None) -> tuple[str, ...] | None:
    if condition is None:
        return None
    told = condition.status, condition.reason
    return told if condition.type == _COUNTED else (*told, condition.message)
