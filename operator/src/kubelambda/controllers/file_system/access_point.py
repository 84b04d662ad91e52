"""Reconciles an AccessPoint: says whether environments can mount its claim, and stays while they do."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime

from pydantic import ValidationError

from kubelambda.api import labels
from kubelambda.api.kinds.access_point import AccessPointSpec, AccessPointStatus
from kubelambda.controllers.file_system.access_point_facts import WATCHED_ACCESS_POINTS
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.function.version_facts import WATCHED_VERSIONS, VersionFacts
from kubelambda.controllers.machinery import changes, recorder
from kubelambda.controllers.machinery.cluster import Cluster
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.finalizers import hold
from kubelambda.controllers.machinery.object_status import apply_status, read_status
from kubelambda.controllers.machinery.work_queue import BackOff, Key, Outcome
from kubelambda.core.file_system.mounts import AccessPointFacts, claim_problem, decide_access_point
from kubelambda.core.function.observation import Problem, invalid_spec
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
    terminating = "deletionTimestamp" in body["metadata"]
    users = tuple(sorted(_users(context.cluster, key)))
    body = await hold(context, ACCESS_POINTS, body, labels.ACCESS_POINT_FINALIZER, held=bool(users))
    if terminating and not users:
        return None
    before = read_status(AccessPointStatus, body)
    problem = await _problem(context, key, body)
    holders = users if terminating else ()
    status = decide_access_point(before, body["metadata"]["generation"], problem, datetime.now(UTC), holders)
    if status != before:
        after = await apply_status(context, ACCESS_POINTS, body, status)
        await changes.observe(context, WATCHED_ACCESS_POINTS, after, by=key)
        await recorder.record_transition(context.client, ACCESS_POINTS, body, before.conditions, status.conditions)
    if problem is not None and problem.terminal:
        return None
    return BackOff(LOOK_AGAIN_MAX_S) if problem else CHECK_S * random.uniform(0.8, 1.2)  # noqa: S311 - jitter


def _users(cluster: Cluster, key: Key) -> Iterable[str]:
    """Functions that name it or mount it, and versions of functions that mount it."""
    for name, function in cluster[WATCHED_FUNCTIONS].within(key.namespace):
        if key.name in function.access_points:
            yield f"Function {name}"
    for name, version in cluster[WATCHED_VERSIONS].within(key.namespace):
        if key.name in version.access_points:
            yield f"FunctionVersion {name}"


async def _problem(context: Context, key: Key, body: Object) -> Problem | None:
    try:
        spec = AccessPointSpec.model_validate(body["spec"])
    except ValidationError as error:
        return invalid_spec(error)
    claim = await context.client.find(PERSISTENT_VOLUME_CLAIMS, spec.persistent_volume_claim, key.namespace)
    return claim_problem(spec.persistent_volume_claim, claim)


def _itself(change: Change[AccessPointFacts]) -> Iterable[Key]:
    yield Key(KIND, change.namespace, change.name)


def _used(change: Change[FunctionFacts] | Change[VersionFacts]) -> Iterable[Key]:
    """Those that a function or version began to use, or uses no more."""
    before = change.before.access_points if change.before is not None else ()
    after = change.after.access_points if change.after is not None else ()
    for name in set(before) ^ set(after):
        yield Key(KIND, change.namespace, name)


CONTROLLER = Controller(
    KIND,
    reconcile,
    follows=(
        Follow(WATCHED_ACCESS_POINTS, _itself, resync=True),
        Follow(WATCHED_FUNCTIONS, _used),
        Follow(WATCHED_VERSIONS, _used),
    ),
)
