"""Target tracking moves the capacity as Application Auto Scaling does, and never on what it does not know (§8)."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.scaling.target_tracking import (
    Alarms,
    Sample,
    ScalingHistory,
    Suspension,
    TrackingPolicy,
    Verdict,
    scale,
)

NOW = 1_000_000.0
POLICY = TrackingPolicy(target=0.7, minimum=1, maximum=100)


def minutes(*values: float | None, end: float = NOW) -> list[Sample]:
    """One sample a minute, the last one at `end`; None for a minute without."""
    first = end - 60.0 * (len(values) - 1)
    return [Sample(first + 60.0 * index, value) for index, value in enumerate(values) if value is not None]


def test_three_minutes_above_the_target_scale_out_in_proportion() -> None:
    """The example of §8.5: 10 environments fully used, target 0.7, become 15."""
    decision = scale(POLICY, 10, minutes(1.0, 1.0, 1.0), now=NOW)
    assert (decision.capacity, decision.verdict) == (15, Verdict.SCALED_OUT)
    assert "from 10 to 15" in decision.why


@pytest.mark.parametrize("values", [(1.0, 1.0), (1.0, None, 1.0), (1.0, 0.7, 1.0), (0.5, 1.0, 1.0), ()])
def test_fewer_than_three_minutes_above_the_target_change_nothing(values: tuple[float | None, ...]) -> None:
    """Three of three datapoints; exactly the target is no breach."""
    assert scale(POLICY, 10, minutes(*values), now=NOW).capacity == 10


def test_fifteen_minutes_below_nine_tenths_of_the_target_scale_in() -> None:
    """By the highest of them, so that the work of that minute would still meet the target."""
    values = [0.1] * 14 + [0.2]
    decision = scale(POLICY, 10, minutes(*values), now=NOW)
    assert (decision.capacity, decision.verdict) == (math.ceil(10 * 0.2 / 0.7), Verdict.SCALED_IN)


@pytest.mark.parametrize(
    "values", [[0.1] * 14, [0.1] * 7 + [None] + [0.1] * 7, [0.64, *[0.1] * 14], [0.1] * 14 + [0.63]]
)
def test_fewer_than_fifteen_low_minutes_change_nothing(values: list[float | None]) -> None:
    """A gap, too short a time, or one minute in the band between 0.9 of the target and the target."""
    assert scale(POLICY, 10, minutes(*values), now=NOW).capacity == 10


def test_no_traffic_never_scales_in() -> None:
    """As on AWS, where the metric is emitted only while something is invoked (§8.3, §8.4)."""
    decision = scale(POLICY, 10, [], now=NOW)
    assert (decision.capacity, decision.verdict, decision.valid) == (10, Verdict.NO_TRAFFIC, True)


def test_old_samples_are_no_traffic() -> None:
    """A reader that stopped delivering freezes the capacity."""
    decision = scale(POLICY, 10, minutes(1.0, 1.0, 1.0, end=NOW - 300), now=NOW)
    assert (decision.capacity, decision.verdict) == (10, Verdict.NO_TRAFFIC)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 7.0])
def test_nonsense_freezes_and_says_so(value: float) -> None:
    """A lying source never moves anything."""
    decision = scale(POLICY, 10, minutes(1.0, 1.0, value), now=NOW)
    assert (decision.capacity, decision.valid) == (10, False)
    assert "frozen at 10" in decision.why


def test_samples_of_the_future_freeze_and_say_so() -> None:
    """A clock that is ten minutes off."""
    decision = scale(POLICY, 10, minutes(1.0, 1.0, 1.0, end=NOW + 600), now=NOW)
    assert not decision.valid
    assert "clocks differ" in decision.why


@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf])
def test_samples_without_a_time_freeze_and_say_so(at: float) -> None:
    """They are of no period."""
    decision = scale(POLICY, 10, [*minutes(1.0, 1.0, 1.0), Sample(at, 1.0)], now=NOW)
    assert (decision.capacity, decision.valid) == (10, False)
    assert "without a time" in decision.why


def test_the_capacity_stays_within_its_limits() -> None:
    """Clamped in both directions, and said so."""
    narrow = TrackingPolicy(target=0.5, minimum=4, maximum=12)
    assert scale(narrow, 10, minutes(1.0, 1.0, 1.0), now=NOW).capacity == 12
    assert scale(narrow, 12, minutes(1.0, 1.0, 1.0), now=NOW).verdict is Verdict.AT_LIMIT
    assert scale(narrow, 10, minutes(*[0.01] * 15), now=NOW).capacity == 4


def test_within_the_scale_out_cooldown_only_a_larger_breach_adds_the_difference() -> None:
    """What was added already is credited (§8.6)."""
    policy = TrackingPolicy(target=0.5, minimum=1, maximum=100, scale_out_cooldown=300)
    first = scale(policy, 10, minutes(0.8, 0.8, 0.8), now=NOW)
    assert first.capacity == 16
    same = scale(policy, 16, minutes(0.8, 0.8, 0.8, 0.8, end=NOW + 60), now=NOW + 60, history=first.history)
    assert (same.capacity, same.verdict) == (16, Verdict.COOLING_DOWN)
    more = scale(policy, 16, minutes(0.9, 0.9, 0.9, end=NOW + 120), now=NOW + 120, history=first.history)
    assert more.capacity == 18
    over = scale(policy, 18, minutes(0.9, 0.9, 0.9, end=NOW + 301), now=NOW + 301, history=more.history)
    assert over.capacity == math.ceil(18 * 0.9 / 0.5)


def test_scaling_in_goes_by_what_was_measured_since_the_last_change() -> None:
    """Else each step would take the minutes before it for its own, and the next one again: far below what is needed."""
    busy = 5.0
    capacity, history, taken, now = 48, ScalingHistory(), [48], NOW
    utilization = [busy / 48] * 15
    for _ in range(20):
        decision = scale(POLICY, capacity, minutes(*utilization[-15:], end=now), now=now + 0.3, history=history)
        capacity, history = decision.capacity, decision.history
        taken.append(capacity)
        now += 60
        utilization.append(busy / capacity)
        assert busy / capacity <= POLICY.target
    assert taken[1:] == [8] * 20


def test_what_scaling_out_added_is_credited_until_it_was_measured() -> None:
    """A breach that the added environments have answered already adds no more of them."""
    first = scale(POLICY, 10, minutes(1.0, 1.0, 1.0), now=NOW)
    assert first.capacity == 15
    early = scale(POLICY, 15, minutes(1.0, 1.0, 1.0, end=NOW), now=NOW + 20, history=first.history)
    assert (early.capacity, early.verdict) == (15, Verdict.COOLING_DOWN)
    measured = scale(POLICY, 15, minutes(1.0, 1.0, 1.0, end=NOW + 60), now=NOW + 60, history=first.history)
    assert measured.capacity == 22


def test_scaling_in_waits_for_its_cooldown_after_any_scaling() -> None:
    """And a breach meanwhile scales out at once and cancels it (§8.6)."""
    policy = TrackingPolicy(target=0.5, minimum=1, maximum=100, scale_in_cooldown=600)
    history = ScalingHistory(scaled_in_at=NOW - 100)
    low = minutes(*[0.1] * 15)
    assert scale(policy, 10, low, now=NOW, history=history).verdict is Verdict.COOLING_DOWN
    assert scale(policy, 10, low, now=NOW, history=ScalingHistory(scaled_in_at=NOW - 601)).capacity == 2
    out = scale(policy, 10, minutes(1.0, 1.0, 1.0), now=NOW, history=history)
    assert (out.capacity, out.history.scaled_in_at) == (20, None)


def test_what_is_suspended_or_disabled_does_not_happen_and_says_so() -> None:
    """In and out apart from each other (§8.1, §8.7)."""
    high, low = minutes(1.0, 1.0, 1.0), minutes(*[0.1] * 15)
    assert scale(POLICY, 10, high, now=NOW, suspension=Suspension(scale_out=True)).verdict is Verdict.SUSPENDED
    assert scale(POLICY, 10, low, now=NOW, suspension=Suspension(scale_in=True)).verdict is Verdict.SUSPENDED
    assert scale(POLICY, 10, high, now=NOW, suspension=Suspension(scale_in=True)).capacity == 15
    one_way = TrackingPolicy(target=0.7, minimum=1, maximum=100, disable_scale_in=True)
    assert scale(one_way, 10, low, now=NOW).capacity == 10


def test_short_periods_serve_tests_and_impatient_people() -> None:
    """Period and datapoints are settings."""
    alarms = Alarms(period=2.0, out_datapoints=2, in_datapoints=3)
    samples = [Sample(NOW - 2, 1.0), Sample(NOW, 1.0)]
    assert scale(POLICY, 1, samples, now=NOW, alarms=alarms).capacity == 2


@given(
    st.integers(1, 100),
    st.lists(st.none() | st.floats(0, 1), max_size=20),
    st.floats(0.1, 0.9),
    st.integers(0, 20),
    st.integers(0, 80),
)
def test_no_samples_lead_out_of_the_limits_or_the_wrong_way(
    capacity: int, values: list[float | None], target: float, minimum: int, more: int
) -> None:
    """Out only above the target, in only below it, and never beyond what people allowed."""
    policy = TrackingPolicy(target=target, minimum=minimum, maximum=minimum + more)
    capacity = policy.clamp(capacity)
    decision = scale(policy, capacity, minutes(*values), now=NOW)
    assert policy.minimum <= decision.capacity <= policy.maximum
    known = [value for value in values if value is not None]
    if decision.capacity > capacity:
        assert known[-1] > target
    if decision.capacity < capacity:
        assert max(known[-15:]) < target
        # The busiest of those minutes would not have exceeded the target with the new capacity.
        assert max(known[-15:]) * capacity <= target * decision.capacity + 1e-6
