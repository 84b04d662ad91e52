"""Which provisioned concurrency a function and its account can grant (§5.3, §5.4): pure.

The sum of a function is within its reservation; without one, within what the account has not reserved, of which a
minimum stays for everybody.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kubelambda.core.account.reserved_concurrency import Grant

ALIAS_ON_PROVISIONED_VERSION = (
    "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
)
VERSION_OF_PROVISIONED_ALIAS = "Version is pointed by a Provisioned Concurrency alias"
ABOVE_RESERVATION = (
    "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
)


@dataclass(frozen=True, slots=True)
class ProvisionRequest:
    """What one alias or version asks for, and what was granted before."""

    uid: str
    function: str
    created: str
    """RFC 3339; of two that do not both fit, the older one is served."""
    requested: int
    previous: int = 0
    versions: frozenset[int] = frozenset()
    """Versions that it provisions, by their numbers."""
    alias: bool = False

    @property
    def secured(self) -> int:
        """What it has and keeps: what was granted stays granted; lowering it is always allowed."""
        return min(self.requested, self.previous)

    @property
    def rank(self) -> tuple[bool, str, str]:
        """Order in which requests are served: those that have some, then the oldest."""
        return not self.previous, self.created, self.uid


def grant_provisioned(
    requests: Iterable[ProvisionRequest], *, reserved: Mapping[str, int], quota: int, minimum: int
) -> dict[str, Grant]:
    """Grants of an account by uid, the same for the same requests in any order; a request has all it asks for or what
    it had. `reserved` has the granted reservation of each function that has one."""
    waiting = sorted(requests, key=lambda request: request.rank)
    unreserved = quota - sum(reserved.values())
    taken: dict[str, int] = {}
    for request in waiting:
        taken[request.function] = taken.get(request.function, 0) + request.secured
    holders: dict[tuple[str, int], ProvisionRequest] = {}
    grants = {}
    for request in waiting:
        refusal = _taken_by_another(request, holders)
        if refusal is None and (more := request.requested - request.secured) > 0:
            refusal = _too_much(request, more, taken, reserved=reserved, unreserved=unreserved, minimum=minimum)
            if refusal is None:
                taken[request.function] += more
        grants[request.uid] = Grant(request.requested) if refusal is None else Grant(request.secured, refusal)
        if refusal is None:
            holders.update({(request.function, version): request for version in request.versions})
    return grants


def _taken_by_another(request: ProvisionRequest, holders: Mapping[tuple[str, int], ProvisionRequest]) -> str | None:
    """A version is provisioned for itself or for aliases, not for both; two aliases may share one."""
    for version in request.versions:
        holder = holders.get((request.function, version))
        if holder is not None and holder.alias != request.alias:
            return ALIAS_ON_PROVISIONED_VERSION if request.alias else VERSION_OF_PROVISIONED_ALIAS
    return None


def _too_much(
    request: ProvisionRequest,
    more: int,
    taken: Mapping[str, int],
    *,
    reserved: Mapping[str, int],
    unreserved: int,
    minimum: int,
) -> str | None:
    own = reserved.get(request.function)
    if own is not None:
        return ABOVE_RESERVATION if taken[request.function] + more > own else None
    free = unreserved - sum(count for function, count in taken.items() if function not in reserved)
    if more > free:
        return f"Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{free}]."
    if free - more < minimum:
        return (
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
            f"minimum value of [{minimum}]."
        )
    return None
