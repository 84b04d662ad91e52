"""Conditions by the Kubernetes conventions: type, status, reason, message, observedGeneration, lastTransitionTime."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field

from kubelambda.api.model import Model

ConditionStatus = Literal["True", "False", "Unknown"]
type Fact = tuple[str, ConditionStatus, str, str]
"""Type, status, reason and message of a condition."""
MESSAGE_MAX_CHARS = 1024
"""What we write of a message: it may have been longer where it comes from."""


class Condition(Model):
    """One fact about an object, with the reason a program can branch on and the message a person reads."""

    type: Annotated[str, Field(max_length=316)]
    """What the fact is about."""
    status: ConditionStatus
    """Whether it holds."""
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    """Why, in one CamelCase word."""
    message: Annotated[str, Field(max_length=32_768)] = ""
    """Why, for people."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Generation of the spec that the fact speaks of."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When status last changed, RFC 3339."""


def timestamp(now: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as the API server writes times."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def conditions_of(facts: Iterable[Fact], now: datetime, *, generation: int | None = None) -> list[Condition]:
    """Conditions that say `facts` since now. `generation`: of the spec that they speak of."""
    return [
        Condition(
            type=kind,
            status=status,
            reason=reason,
            message=message[:MESSAGE_MAX_CHARS],
            observed_generation=generation,
            last_transition_time=timestamp(now),
        )
        for kind, status, reason, message in facts
    ]


def merge(before: Sequence[Condition], after: Sequence[Condition]) -> list[Condition]:
    """`after`, keeping the transition time of every condition whose status did not change."""
    known = {condition.type: condition for condition in before}
    merged = []
    for condition in after:
        old = known.get(condition.type)
        unchanged = old is not None and old.status == condition.status
        since = old.last_transition_time if old and unchanged else condition.last_transition_time
        merged.append(condition.model_copy(update={"last_transition_time": since}))
    return merged
