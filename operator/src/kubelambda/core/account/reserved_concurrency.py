"""Which reservations of concurrency an account can grant (§5.2)."""

from collections.abc import Iterable
from dataclasses import dataclass

_QUOTA_MAX_DIGITS = 9


@dataclass(frozen=True, slots=True)
class ReservationRequest:
    """What one function asks for, and what was granted before."""

    name: str
    created: str
    """RFC 3339; of two that do not both fit, the older one is served."""
    requested: int | None
    previous: int | None
    provisioned: int = 0
    """Provisioned concurrency of the function, which is within its reservation, if it has one (§5.3)."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The outcome for one function: what is in force, and the refusal when that is not what was asked for."""

    granted: int | None
    refusal: str | None = None


def allocate(requests: Iterable[ReservationRequest], *, quota: int, minimum: int) -> dict[str, Grant]:
    """Grants of an account by function name, the same for the same requests in any order.

    What was granted stays granted, also when the quota shrinks; lowering a grant is always allowed. What is asked for
    beyond that is served oldest first, while `minimum` of `quota` stays unreserved.
    """
    waiting = sorted(requests, key=lambda request: (request.created, request.name))
    total = sum(_secured(request) for request in waiting)
    budget = max(0, quota - minimum)
    grants = {}
    for request in waiting:
        more = 0 if request.requested is None else request.requested - _secured(request)
        if request.requested is not None and request.requested < request.provisioned:
            grants[request.name] = Grant(request.previous, _below_provisioned(request.requested, request.provisioned))
        elif more <= 0:
            grants[request.name] = Grant(request.requested)
        elif total + more <= budget:
            total += more
            grants[request.name] = Grant(request.requested)
        else:
            grants[request.name] = Grant(request.previous, _refusal(minimum))
    return grants


def account_quota(annotation: str | None, default: int) -> int:
    """The concurrency quota of a namespace: its annotation where that is a number, else the chart's default."""
    text = (annotation or "").strip()
    return int(text) if text.isdecimal() and len(text) <= _QUOTA_MAX_DIGITS else default


def _secured(request: ReservationRequest) -> int:
    """What the account has given and cannot give again: a reservation, or what is provisioned without one."""
    if request.requested is None or request.previous is None:
        return request.provisioned
    return max(min(request.requested, request.previous), request.provisioned)


def _below_provisioned(requested: int, provisioned: int) -> str:
    return (  # the blanks are Lambda's
        f" ReservedConcurrentExecutions  {requested} should not be lower than function's total provisioned "
        f"concurrency [{provisioned}]."
    )


def _refusal(minimum: int) -> str:
    return (
        "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
        f"below its minimum value of [{minimum}]."
    )
