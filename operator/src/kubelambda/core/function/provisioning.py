"""How far provisioned environments are, and the words for it (§5.5): pure."""

from dataclasses import dataclass
from datetime import datetime

from kubelambda.api.conditions import ConditionStatus
from kubelambda.api.kinds.provisioned_concurrency import ProvisionedConcurrencyState, ProvisionedConcurrencyStatus
from kubelambda.api.reasons import Reason
from kubelambda.core.account.reserved_concurrency import Grant
from kubelambda.core.function.function_status import lambda_time


@dataclass(frozen=True, slots=True)
class Provision:
    """The environments of one version, as they are."""

    available: int = 0
    """Initialized and ready."""
    failure: str = ""
    """Why some do not become ready, in Lambda's words where it has them."""
    replicas: int = 0
    """Those that their Deployment keeps."""
    serving: int = 0
    """Ready ones that frontends have not let go of."""
    init_error: str = ""
    """What an INIT said that failed."""


NO_PROVISION = Provision()
RELEASE_S = 120.0
"""Frontends let go of idle environments within seconds; after this long Kubernetes picks those that end."""


def replicas(wanted: int, there: Provision, *, reduced_s: float) -> int:
    """What a Deployment is to keep. It shrinks as environments are let go of, so that none ends that runs something.

    `reduced_s` is how long ago fewer were asked for.
    """
    if not wanted or reduced_s >= RELEASE_S:
        return wanted
    return max(wanted, min(there.replicas, there.serving))


def seconds_since(status: ProvisionedConcurrencyStatus | None, requested: int, now: datetime) -> float:
    """How long ago the number was last changed to `requested`."""
    if status is None or status.requested != requested or status.last_modified is None:
        return 0.0
    return (now - datetime.fromisoformat(status.last_modified)).total_seconds()


def provisioned_status(
    before: ProvisionedConcurrencyStatus | None, requested: int, grant: Grant, provision: Provision, now: datetime
) -> ProvisionedConcurrencyStatus:
    """What to report of `requested` environments. `before` is of the same versions.

    A failure stays until something comes of the environments that are started instead of those that failed.
    """
    allocated = grant.granted or 0
    available = min(provision.available, allocated)
    state, reason, said = ProvisionedConcurrencyState.IN_PROGRESS, "", ""
    if grant.refusal:
        state, reason = ProvisionedConcurrencyState.FAILED, grant.refusal
    elif available >= requested:
        state = ProvisionedConcurrencyState.READY
    elif provision.failure:
        state, reason, said = ProvisionedConcurrencyState.FAILED, provision.failure, provision.init_error
    elif before is not None and _still_failing(before, requested, allocated, available):
        state, reason, said = before.status, before.status_reason, before.init_error
    if said and before is not None and before.status is state and before.init_error:
        said = before.init_error  # each attempt may say it in other words: with its request id
    unchanged = before is not None and before.requested == requested
    return ProvisionedConcurrencyStatus(
        requested=requested,
        allocated=allocated,
        available=available,
        status=state,
        status_reason=reason,
        init_error=said,
        last_modified=before.last_modified if before and unchanged else lambda_time(now),
    )


def _still_failing(before: ProvisionedConcurrencyStatus, requested: int, allocated: int, available: int) -> bool:
    same = (before.requested, before.allocated) == (requested, allocated)
    return same and before.status is ProvisionedConcurrencyState.FAILED and available <= before.available


def readiness(status: ProvisionedConcurrencyStatus) -> tuple[ConditionStatus, Reason, str]:
    """The condition ProvisionedConcurrencyReady: status, reason, message."""
    there = f"{status.available} of {status.requested} provisioned environments are available"
    match status.status:
        case ProvisionedConcurrencyState.READY:
            return "True", Reason.AVAILABLE, there
        case ProvisionedConcurrencyState.FAILED if status.allocated < status.requested:
            return "False", Reason.REFUSED, status.status_reason
        case ProvisionedConcurrencyState.FAILED:
            why = ": ".join(filter(None, (there, status.status_reason, status.init_error)))
            return "False", Reason.PROVISIONING_FAILED, why
    return "False", Reason.IN_PROGRESS, there
