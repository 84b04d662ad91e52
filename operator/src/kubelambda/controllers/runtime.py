"""Reconciles a Runtime: counts what uses it, and reports."""

from datetime import UTC, datetime

from kubelambda.api import labels
from kubelambda.api.conditions import Condition, merge, timestamp
from kubelambda.api.reasons import Reason
from kubelambda.api.runtime import RuntimeStatus
from kubelambda.controllers.context import FIELD_MANAGER, Context
from kubelambda.controllers.queue import Key
from kubelambda.kube.errors import NotFound
from kubelambda.kube.resources import DEPLOYMENTS, RUNTIMES


async def reconcile(context: Context, key: Key) -> float | None:
    """The Runtime `key.name`; its functions and pools are looked at again whenever its spec changed."""
    users = context.state.functions_of_runtime(key.name)
    try:
        body = await context.client.get(RUNTIMES, key.name)
    except NotFound:
        if context.state.runtimes.pop(key.name, None) is not None:
            _look_again(context, key.name, users)
        return None
    known = context.state.runtimes.get(key.name)
    context.state.runtimes[key.name] = body
    if known is None or known["spec"] != body["spec"]:
        _look_again(context, key.name, users)
    before = RuntimeStatus.model_validate(body.get("status") or {})
    pools = await context.client.list(DEPLOYMENTS, label_selector=f"{labels.POOL}={key.name}")
    now = datetime.now(UTC)
    ready = Condition(
        type="Ready",
        status="True",
        reason=Reason.AVAILABLE,
        message="functions can use this runtime",
        observed_generation=body["metadata"]["generation"],
        last_transition_time=timestamp(now),
    )
    status = RuntimeStatus(
        observed_generation=body["metadata"]["generation"],
        functions=len(users),
        pools=len(pools["items"]),
        idle=sum((pool.get("status") or {}).get("readyReplicas", 0) for pool in pools["items"]),
        conditions=merge(before.conditions, [ready]),
    )
    if status != before:
        manifest = {
            "metadata": {"name": key.name},
            "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        await context.client.apply(RUNTIMES, manifest, manager=FIELD_MANAGER, subresource="status")
    return None


def _look_again(context: Context, runtime: str, users: list[tuple[str, str]]) -> None:
    for namespace, name in users:
        context.queue.add(Key("Function", namespace, name))
    for namespace in {namespace for namespace, _ in users}:
        context.queue.add(Key("Pool", namespace, runtime))
