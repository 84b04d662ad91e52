"""Which reservations of concurrency an account can grant (§5.2)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Grant:
    """The outcome for one function: what is in force, and the refusal when that is not what was asked for."""

    granted: int | None
    refusal: str | None = None


def grant(*, requested: int | None, previous: int | None, others: int, quota: int, minimum: int) -> Grant:
    """Grants `requested` unless it leaves less than `minimum` of the account's `quota` unreserved.

    `others` is the sum of what the account's other functions were granted. Lowering a grant is always allowed.
    """
    if requested is None or (previous is not None and requested <= previous):
        return Grant(requested)
    if others + requested > max(0, quota - minimum):
        message = (
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            f"below its minimum value of [{minimum}]."
        )
        return Grant(previous, message)
    return Grant(requested)


def account_quota(annotation: str | None, default: int) -> int:
    """The concurrency quota of a namespace: its annotation where that is a number, else the chart's default."""
    if annotation is not None and annotation.strip().isdigit():
        return int(annotation)
    return default
