"""An accepted event is tried, tried again, and given up exactly as Lambda does it (§6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.event.delivery import (
    AttemptOutcome,
    DeliveryCondition,
    EventProgress,
    Finish,
    RetryPolicy,
    TryAgain,
    accepted,
    after_attempt,
    before_attempt,
    seconds_until,
)

POLICY = RetryPolicy()


def test_a_failing_function_is_tried_three_times_at_lambdas_times() -> None:
    """At 0, 60 and 180 seconds; then the event is given up with a count of three (§14.12)."""
    now, progress, times = 1000.0, accepted(1000.0), []
    while True:
        times.append(now - 1000.0)
        step = after_attempt(progress, POLICY, AttemptOutcome.FUNCTION_ERROR, now)
        if isinstance(step, Finish):
            break
        progress, now = step.progress, step.progress.due_at
    assert times == [0.0, 60.0, 180.0]
    assert (step.condition, step.progress.invocations) == (DeliveryCondition.RETRIES_EXHAUSTED, 3)


def test_what_is_turned_down_uses_no_attempt_and_backs_off() -> None:
    """1, 2, 4 … seconds, five minutes at most (§6.3)."""
    progress, pauses = accepted(0.0), []
    for _ in range(12):
        step = after_attempt(progress, POLICY, AttemptOutcome.TURNED_DOWN, progress.due_at)
        assert isinstance(step, TryAgain)
        pauses.append(step.progress.due_at - progress.due_at)
        progress = step.progress
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert (progress.function_errors, progress.invocations) == (0, 0)


def test_a_run_ends_the_backing_off() -> None:
    """The next throttle waits a second again."""
    progress = EventProgress(0.0, 0.0, turned_down=9)
    failed = after_attempt(progress, POLICY, AttemptOutcome.FUNCTION_ERROR, 10.0)
    assert isinstance(failed, TryAgain)
    again = after_attempt(failed.progress, POLICY, AttemptOutcome.TURNED_DOWN, 100.0)
    assert isinstance(again, TryAgain)
    assert again.progress.due_at == 101.0


def test_an_event_beyond_its_age_is_given_up_without_a_try() -> None:
    """And a retry that would come later than that comes at the end of its age."""
    policy = RetryPolicy(maximum_event_age=60.0)
    step = after_attempt(accepted(0.0), policy, AttemptOutcome.FUNCTION_ERROR, 30.0)
    assert isinstance(step, TryAgain)
    assert 60.0 < step.progress.due_at < 61.0
    end = before_attempt(step.progress, policy, None, step.progress.due_at)
    assert end is not None
    assert end.condition is DeliveryCondition.EVENT_AGE_EXCEEDED


def test_reserved_concurrency_zero_ends_an_event_untried() -> None:
    """With a count of none (§6.7)."""
    end = before_attempt(accepted(0.0), POLICY, 0, 1.0)
    assert end is not None
    assert (end.condition, end.progress.invocations) == (DeliveryCondition.ZERO_RESERVED_CONCURRENCY, 0)
    assert before_attempt(accepted(0.0), POLICY, 1, 1.0) is None


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_retries_are_as_many_as_configured(retries: int) -> None:
    """None means one try."""
    policy, progress = RetryPolicy(maximum_retry_attempts=retries), accepted(0.0)
    step = after_attempt(progress, policy, AttemptOutcome.FUNCTION_ERROR, 0.0)
    while isinstance(step, TryAgain):
        step = after_attempt(step.progress, policy, AttemptOutcome.FUNCTION_ERROR, step.progress.due_at)
    assert step.progress.invocations == retries + 1


@given(st.lists(st.sampled_from(list(AttemptOutcome)), max_size=40), st.integers(0, 2), st.floats(60, 21_600))
def test_no_history_loses_an_event_or_tries_it_for_ever(
    outcomes: list[AttemptOutcome], retries: int, age: float
) -> None:
    """It waits for a later time, or it ends; it never runs more often than allowed, nor after its age."""
    policy, progress, now = RetryPolicy(retries, age), accepted(0.0), 0.0
    for outcome in outcomes:
        now = max(now, progress.due_at)
        if before_attempt(progress, policy, None, now) is not None:
            assert now > age
            return
        step = after_attempt(progress, policy, outcome, now)
        assert step.progress.invocations <= retries + 1
        if isinstance(step, Finish):
            assert step.succeeded == (outcome is AttemptOutcome.SUCCEEDED)
            return
        assert step.progress.due_at > now
        progress = step.progress


def test_a_loop_ends_without_another_attempt() -> None:
    """The event is given up like one of a stopped function (§6.8)."""
    end = before_attempt(accepted(1000.0), POLICY, None, 1001.0, looping=True)
    assert end is not None
    assert end.condition is DeliveryCondition.RECURSIVE_INVOCATION


def test_a_due_time_from_before_the_clock_was_put_back_is_over() -> None:
    """No pause is as long as that: what waits would wait as long as the clock was wrong."""
    assert [seconds_until(due, 1_000.0) for due in (900.0, 1_000.0, 1_120.0, 1_300.0)] == [-100.0, 0.0, 120.0, 300.0]
    assert seconds_until(1_000.0 + 3_600, 1_000.0) == 0.0
