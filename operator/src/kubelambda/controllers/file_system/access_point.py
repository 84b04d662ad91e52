"""Reconciles an AccessPoint: says whether environments can mount its claim, and keeps both while they do."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from pydantic import ValidationError

from kubelambda.api import labels
from kubelambda.api.kinds.access_point import AccessPointSpec, AccessPointStatus
from kubelambda.controllers.file_system.access_point_facts import WATCHED_ACCESS_POINTS
from kubelambda.controllers.file_system.claims import claim_users, is_held, keep_claims, look_at
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.function.version_facts import WATCHED_VERSIONS, VersionFacts
from kubelambda.controllers.machinery import changes, recorder
from kubelambda.controllers.machinery.cluster import Cluster
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.finalizers import hold, users_of
from kubelambda.controllers.machinery.object_status import read_status, report_status
from kubelambda.controllers.machinery.work_queue import BackOff, Key, Outcome
from kubelambda.core.file_system.mount_failure import MOUNTED
from kubelambda.core.file_system.mounts import AccessPointFacts, FoundClaim, decide_access_point
from kubelambda.core.function.observation import Problem, invalid_spec
from kubelambda.kube.jitter import spread
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ACCESS_POINTS

KIND = "AccessPoint"
LOOK_AGAIN_MAX_S = 15.0
"""The longest pause before a claim that cannot be mounted is looked at again; nothing tells us when it changes."""
CHECK_S = 120.0
"""How often a claim is looked at that can be mounted."""


async def reconcile(context: Context, key: Key) -> Outcome:
    """One AccessPoint."""
    known = context.cluster[WATCHED_ACCESS_POINTS].get(key.namespace, key.name)
    body = await context.client.find(ACCESS_POINTS, key.name, key.namespace)
    if body is None:
        changes.forget(context, WATCHED_ACCESS_POINTS, key.namespace, key.name, by=key)
        await keep_claims(context, key.namespace, known.held if known is not None else ())
        return None
    await changes.observe(context, WATCHED_ACCESS_POINTS, body, by=key)
    terminating = "deletionTimestamp" in body["metadata"]
    users = await users_of(
        context,
        key,
        body,
        labels.ACCESS_POINT_FINALIZER,
        lambda: tuple(sorted(_users(context.cluster, key))),
        WATCHED_FUNCTIONS,
    )
    before = _own_part(read_status(AccessPointStatus, body))
    named = (body["spec"].get("persistentVolumeClaim"), *before.held_claims)
    claims = await keep_claims(context, key.namespace, [name for name in named if name])
    body = await hold(context, ACCESS_POINTS, body, labels.ACCESS_POINT_FINALIZER, held=bool(users))
    if terminating and not users:
        return None
    found = await _look(context, key, body, claims)
    held = [name for name, claim in claims.items() if is_held(claim)]
    free = not context.settings.file_systems.hold_claims
    status = decide_access_point(
        before,
        body["metadata"]["generation"],
        found,
        datetime.now(UTC),
        holders=users if terminating else (),
        held=held,
        unheld=_used_claims(context.cluster, key, claims) if free else (),
        stuck=held if free else (),
    )
    if status != before:
        await report_status(context, WATCHED_ACCESS_POINTS, body, status, by=key)
        await recorder.record_transition(context.client, ACCESS_POINTS, body, before.conditions, status.conditions)
    return _next_look(found)


def _next_look(found: FoundClaim | Problem) -> Outcome:
    if isinstance(found, Problem):
        return None if found.terminal else BackOff(LOOK_AGAIN_MAX_S)
    return spread(CHECK_S) if found.bound else BackOff(LOOK_AGAIN_MAX_S)


def _own_part(status: AccessPointStatus) -> AccessPointStatus:
    """The status without what frontends write."""
    return status.model_copy(update={"conditions": [each for each in status.conditions if each.type != MOUNTED]})


def _used_claims(cluster: Cluster, key: Key, claims: Iterable[str]) -> list[str]:
    return [name for name in claims if claim_users(cluster, key.namespace, name)]


def _users(cluster: Cluster, key: Key) -> Iterable[str]:
    """Functions that name it or mount it, and versions of functions that mount it."""
    for name, function in cluster[WATCHED_FUNCTIONS].within(key.namespace):
        if key.name in function.access_points:
            yield f"Function {name}"
    for name, version in cluster[WATCHED_VERSIONS].within(key.namespace):
        if key.name in version.access_points:
            yield f"FunctionVersion {name}"


async def _look(context: Context, key: Key, body: Object, claims: Mapping[str, Object]) -> FoundClaim | Problem:
    try:
        spec = AccessPointSpec.model_validate(body["spec"])
    except ValidationError as error:
        return invalid_spec(error)
    name = spec.persistent_volume_claim
    return await look_at(context, key.namespace, name, claims.get(name))


def _itself(change: Change[AccessPointFacts]) -> Iterable[Key]:
    yield Key(KIND, change.namespace, change.name)


def _used(change: Change[FunctionFacts] | Change[VersionFacts]) -> Iterable[Key]:
    """Those that a function or version began to use, or uses no more, or of which it mounts another claim."""
    before, after = (set(each.access_points) if each is not None else set() for each in (change.before, change.after))
    moved = len({each.claims for each in change.either}) > 1
    for name in before | after if moved else before ^ after:
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
