"""Reconciles a Runtime: counts what uses it, and says whether its pools can start."""

from datetime import UTC, datetime

from pydantic import ValidationError

from kubelambda.api import labels
from kubelambda.api.kinds.runtime import RuntimeStatus
from kubelambda.controllers.machinery import changes, recorder
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.core.pool.runtime_status import PoolFacts, decide
from kubelambda.kube.errors import NotFound
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import DEPLOYMENTS, RUNTIMES


async def reconcile(context: Context, key: Key) -> Outcome:
    """The Runtime `key.name`."""
    try:
        body = await context.client.get(RUNTIMES, key.name)
    except NotFound:
        changes.take_in_runtime(context, key.name, None)
        return None
    changes.take_in_runtime(context, key.name, body)
    before = _status(body)
    pools = await context.client.list(DEPLOYMENTS, label_selector=f"{labels.POOL}={key.name}")
    status = decide(
        generation=body["metadata"]["generation"],
        before=before,
        functions=len(context.state.functions_of_runtime(key.name)),
        pools=[_pool(item) for item in pools["items"]],
        now=datetime.now(UTC),
    )
    if status != before:
        manifest = {
            "metadata": {"name": key.name},
            "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        await context.client.apply(RUNTIMES, manifest, manager=FIELD_MANAGER, subresource="status")
        await recorder.record_transition(context.client, RUNTIMES, body, before.conditions, status.conditions)
    return None


def _status(body: Object) -> RuntimeStatus:
    try:
        return RuntimeStatus.model_validate(body.get("status") or {}, extra="ignore")
    except ValidationError:
        return RuntimeStatus()


def _pool(deployment: Object) -> PoolFacts:
    status = deployment.get("status") or {}
    found = {condition["type"]: condition for condition in status.get("conditions") or []}
    stuck, refused = found.get("Progressing", {}), found.get("ReplicaFailure", {})
    failing = refused if refused.get("status") == "True" else stuck if stuck.get("status") == "False" else {}
    return PoolFacts(deployment["metadata"]["namespace"], status.get("readyReplicas", 0), failing.get("message"))
