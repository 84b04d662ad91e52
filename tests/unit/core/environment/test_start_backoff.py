"""How often a function is started that does not come up."""

from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.environment.start_backoff import FREE_FAILURES, PAUSE_MAX_S, StartBackoff


def failing(times: int) -> tuple[StartBackoff, float]:
    """A function whose last starts failed one after the other, and the time of the last failure."""
    backoff, now = StartBackoff(), 0.0
    for _ in range(times):
        now += 2 * PAUSE_MAX_S
        assert backoff.refusal(now, now) is None
        backoff.failed("why", now, begun=now, now=now)
    return backoff, now


def test_the_first_failures_delay_nothing() -> None:
    """They may have been bad luck."""
    backoff, now = failing(FREE_FAILURES)
    assert backoff.refusal(now, 1) is None
    assert not backoff.is_probe(1)


def test_then_callers_get_the_last_failure_and_one_start_tries_again() -> None:
    """After a pause; the others wait for what becomes of that one."""
    backoff, now = failing(FREE_FAILURES + 1)
    assert backoff.refusal(now, 1) == "why"
    assert backoff.refusal(now + PAUSE_MAX_S, 2) is None
    assert backoff.is_probe(2)
    assert backoff.refusal(now + PAUSE_MAX_S, 3) == "why"


def test_a_success_forgets_all_failures() -> None:
    """It works again."""
    backoff, now = failing(FREE_FAILURES + 5)
    assert backoff.refusal(now + PAUSE_MAX_S, 1) is None
    backoff.succeeded()
    assert backoff.refusal(now + PAUSE_MAX_S, 2) is None
    assert not backoff.is_probe(2)


def test_a_try_that_said_nothing_of_the_function_lets_another_try() -> None:
    """No pod, no answer: the next one may begin."""
    backoff, now = failing(FREE_FAILURES + 1)
    later = now + PAUSE_MAX_S
    assert backoff.refusal(later, 1) is None
    backoff.ended(1)
    assert backoff.refusal(later, 2) is None


def test_another_start_that_ends_lets_no_second_one_try() -> None:
    """It began side by side with those that failed, and says nothing of the one that tries for all others."""
    backoff, now = failing(FREE_FAILURES + 1)
    later = now + PAUSE_MAX_S
    assert backoff.refusal(later, "probe") is None
    backoff.ended("straggler")
    assert backoff.refusal(later, "next") == "why"
    backoff.failed("late", "another straggler", begun=now - 1, now=later)
    assert backoff.refusal(later, "next") == "late"
    backoff.failed("still", "probe", begun=later, now=later + 1)
    assert backoff.refusal(later + 1 + PAUSE_MAX_S, "next") is None


def test_starts_that_fail_side_by_side_count_as_one() -> None:
    """A burst of callers is no worse than one."""
    backoff = StartBackoff()
    for n in range(50):
        backoff.failed(n, n, begun=1.0, now=2.0 + n / 100)
    assert backoff.failures == 1
    assert backoff.failure == 49


@given(st.lists(st.floats(0.01, 5.0), min_size=1, max_size=300))
def test_starts_are_rare_however_often_it_is_called(gaps: list[float]) -> None:
    """Every call is answered; the number of starts follows the time that passed, not the calls."""
    backoff, now, starts = StartBackoff(), 0.0, 0
    for gap in gaps:
        now += gap
        if backoff.refusal(now, starts) is None:
            backoff.failed("why", starts, begun=now, now=now)
            starts += 1
    assert starts <= FREE_FAILURES + 1 + 6 + now / PAUSE_MAX_S
