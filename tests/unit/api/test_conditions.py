"""Conditions keep their times as long as their status stays."""

from datetime import UTC, datetime, timedelta, timezone

from kubelambda.api.conditions import Condition, merge, timestamp


def condition(kind: str, status: str, time: str, reason: str = "Deployed") -> Condition:
    """A condition."""
    return Condition.model_validate({"type": kind, "status": status, "reason": reason, "lastTransitionTime": time})


def test_a_time_moves_only_with_the_status() -> None:
    """A new reason leaves it; what is new starts now; what is left out is gone."""
    before = [condition("Ready", "True", "1"), condition("CodeReady", "True", "1"), condition("Stalled", "True", "1")]
    after = [
        condition("Ready", "True", "2", "Refused"),
        condition("CodeReady", "False", "2"),
        condition("New", "True", "2"),
    ]
    merged = {each.type: (each.last_transition_time, each.reason) for each in merge(before, after)}
    assert merged == {"Ready": ("1", "Refused"), "CodeReady": ("2", "Deployed"), "New": ("2", "Deployed")}


def test_times_are_in_utc() -> None:
    """As the API server writes them."""
    moment = datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(moment) == "2026-01-02T01:04:05Z"
    assert timestamp(moment.astimezone(UTC)) == "2026-01-02T01:04:05Z"
