"""Reconciles a SigningProfile: says whether signatures can be verified with its keys."""

from collections.abc import Iterable
from datetime import UTC, datetime

from kubelambda.api.kinds.signing_profile import SigningProfileStatus
from kubelambda.controllers.code.signing_facts import WATCHED_SIGNING_PROFILES
from kubelambda.controllers.machinery import changes, recorder
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.object_status import apply_status, read_status
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.core.code.code_trust import ProfileVersion
from kubelambda.core.code.signing_objects import profile_versions
from kubelambda.core.code.signing_status import profile_status
from kubelambda.kube.resources import SIGNING_PROFILES

KIND = "SigningProfile"


async def reconcile(context: Context, key: Key) -> Outcome:
    """One SigningProfile."""
    body = await context.client.find(SIGNING_PROFILES, key.name, key.namespace)
    if body is None:
        changes.forget(context, WATCHED_SIGNING_PROFILES, key.namespace, key.name, by=key)
        return None
    await changes.observe(context, WATCHED_SIGNING_PROFILES, body, by=key)
    if "deletionTimestamp" in body["metadata"]:
        return None
    before = read_status(SigningProfileStatus, body)
    status = profile_status(before, body["metadata"]["generation"], profile_versions(body), datetime.now(UTC))
    if status != before:
        await apply_status(context, SIGNING_PROFILES, body, status)
        await recorder.record_transition(context.client, SIGNING_PROFILES, body, before.conditions, status.conditions)
    return None


def _itself(change: Change[tuple[ProfileVersion, ...]]) -> Iterable[Key]:
    yield Key(KIND, change.namespace, change.name)


CONTROLLER = Controller(KIND, reconcile, follows=(Follow(WATCHED_SIGNING_PROFILES, _itself, resync=True),))
