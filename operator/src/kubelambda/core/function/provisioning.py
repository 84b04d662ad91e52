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


NO_PROVISION = Provision()


def provisioned_status(
    before: ProvisionedConcurrencyStatus | None, requested: int, grant: Grant, provision: Provision, now: datetime
) -> ProvisionedConcurrencyStatus:
    """What to report of `requested` environments."""
    allocated = grant.granted or 0
    available = min(provision.available, allocated)
    state, reason = ProvisionedConcurrencyState.IN_PROGRESS, ""
    if grant.refusal:
        state, reason = ProvisionedConcurrencyState.FAILED, grant.refusal
    elif available >= requested:
        state = ProvisionedConcurrencyState.READY
    elif provision.failure:
        state, reason = ProvisionedConcurrencyState.FAILED, provision.failure
    unchanged = before is not None and before.requested == requested
    return ProvisionedConcurrencyStatus(
        requested=requested,
        allocated=allocated,
        available=available,
        status=state,
        status_reason=reason,
        last_modified=before.last_modified if before and unchanged else lambda_time(now),
    )


def readiness(status: ProvisionedConcurrencyStatus) -> tuple[ConditionStatus, Reason, str]:
    """The condition ProvisionedConcurrencyReady: status, reason, message."""
    there = f"{status.available} of {status.requested} provisioned environments are available"
    match status.status:
        case ProvisionedConcurrencyState.READY:
            return "True", Reason.AVAILABLE, there
        case ProvisionedConcurrencyState.FAILED if status.allocated < status.requested:
            return "False", Reason.REFUSED, status.status_reason
        case ProvisionedConcurrencyState.FAILED:
            return "False", Reason.PROVISIONING_FAILED, f"{there}: {status.status_reason}"
    return "False", Reason.IN_PROGRESS, there
