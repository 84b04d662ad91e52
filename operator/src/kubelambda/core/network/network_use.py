"""Subnets and security groups that somebody wants gone while functions use them: pure."""

from collections.abc import Sequence
from datetime import datetime

from kubelambda.api.conditions import Condition, conditions_of, merge
from kubelambda.api.reasons import Reason


def held_conditions(
    before: Sequence[Condition], users: Sequence[str], *, terminating: bool, now: datetime
) -> list[Condition]:
    """What to say of one that `users` have: nothing, unless it is to go."""
    if not terminating or not users:
        return []
    text = f"in use by {', '.join(users)}: it goes when they name it no more, and holds until then"
    return merge(before, conditions_of([("DeletionRefused", "True", Reason.IN_USE, text)], now))
