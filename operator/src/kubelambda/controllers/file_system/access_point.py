"""Reconciles an AccessPoint: says whether environments can mount its claim."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime

from pydantic import ValidationError

from kubelambda.api.kinds.access_point import AccessPointSpec, AccessPointStatus
from kubelambda.api.reasons import Reason
from kubelambda.controllers.file_system.access_point_facts import WATCHED_ACCESS_POINTS
from kubelambda.controllers.machinery import changes, recorder
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.work_queue import BackOff, Key, Outcome
from kubelambda.core.file_system.mounts import AccessPointFacts, claim_problem, decide_access_point
from kubelambda.core.function.observation import Problem
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ACCESS_POINTS, PERSISTENT_VOLUME_CLAIMS

KIND = "AccessPoint"
LOOK_AGAIN_MAX_S = 15.0
"""The longest pause before a claim that cannot be mounted is looked at again; nothing tells us when it changes."""
CHECK_S = 120.0
"""How often a claim is looked at that can be mounted."""


async def reconcile(context: Context, key: Key) -> Outcome:
    """One AccessPoint."""
    body = await context.client.find(ACCESS_POINTS, key.name, key.namespace)
    if body is None:
        changes.forget(context, WATCHED_ACCESS_POINTS, key.namespace, key.name, by=key)
        return None
    await changes.observe(context, WATCHED_ACCESS_POINTS, body, by=key)
    if "deletionTimestamp" in body["metadata"]:
        return None
    before = _status(body)
    problem = await _problem(context, key, body)
    status = decide_access_point(before, body["metadata"]["generation"], problem, datetime.now(UTC))
    if status != before:
        manifest = {
            "metadata": {"name": key.name, "namespace": key.namespace},
            "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        after = await context.client.apply(ACCESS_POINTS, manifest, manager=FIELD_MANAGER, subresource="status")
        await changes.observe(context, WATCHED_ACCESS_POINTS, after, by=key)
        await recorder.record_transition(context.client, ACCESS_POINTS, body, before.conditions, status.conditions)
    if problem is not None and problem.terminal:
        return None
    return BackOff(LOOK_AGAIN_MAX_S) if problem else CHECK_S * random.uniform(0.8, 1.2)  # noqa: S311 - jitter


async def _problem(context: Context, key: Key, body: Object) -> Problem | None:
    try:
        spec = AccessPointSpec.model_validate(body["spec"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("spec", *first["loc"]))
        return Problem(Reason.INVALID_SPEC, f"{where}: {first['msg']}", terminal=True)
    claim = await context.client.find(PERSISTENT_VOLUME_CLAIMS, spec.persistent_volume_claim, key.namespace)
    return claim_problem(spec.persistent_volume_claim, claim)


def _status(body: Object) -> AccessPointStatus:
    try:
        return AccessPointStatus.model_validate(body.get("status") or {}, extra="ignore")
    except ValidationError:
        return AccessPointStatus()


def _itself(change: Change[AccessPointFacts]) -> Iterable[Key]:
    yield Key(KIND, change.namespace, change.name)


CONTROLLER = Controller(KIND, reconcile, follows=(Follow(WATCHED_ACCESS_POINTS, _itself, resync=True),))
