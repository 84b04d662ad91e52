"""What an evaluation makes of an alias: people's number, bounds, schedules and utilization, each in its place (§8)."""

from datetime import UTC, datetime, timedelta
from typing import Any

from kubelambda.api.kinds.provisioned_concurrency import AliasProvisionedConcurrency, ScalingState
from kubelambda.core.scaling.alias_scaling import AliasMetrics, ScalingOutcome, decide_scaling, requested_capacity
from kubelambda.core.scaling.target_tracking import Alarms, Sample

NOW = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)  # a Monday
TRACKING = {"targetValue": 0.5, "minCapacity": 1, "maxCapacity": 10}


def wanted(**spec: Any) -> AliasProvisionedConcurrency:
    """The part of an alias's spec."""
    return AliasProvisionedConcurrency.model_validate(spec)


def evaluate(
    spec: AliasProvisionedConcurrency,
    state: ScalingState | None = None,
    utilization: float | None = None,
    *,
    now: datetime = NOW,
    unavailable: str | None = None,
) -> ScalingOutcome:
    """One evaluation after fifteen minutes with the same utilization."""
    minutes = range(15) if utilization is not None else ()
    samples = [Sample(now.timestamp() - 60 * (14 - index), utilization or 0.0) for index in minutes]
    return decide_scaling(spec, state, AliasMetrics(samples, unavailable), now=now, alarms=Alarms())


def test_a_number_alone_is_static() -> None:
    """Whatever a scaler may have remembered."""
    state = ScalingState(capacity=7, specified=7)
    assert requested_capacity(wanted(provisionedConcurrentExecutions=2), state) == 2
    assert requested_capacity(wanted(provisionedConcurrentExecutions=0), None) == 0


def test_scaling_begins_with_the_number_or_the_minimum() -> None:
    """Clamped to the bounds (§8.10)."""
    assert requested_capacity(wanted(provisionedConcurrentExecutions=4, targetTracking=TRACKING), None) == 4
    assert requested_capacity(wanted(provisionedConcurrentExecutions=40, targetTracking=TRACKING), None) == 10
    assert requested_capacity(wanted(targetTracking=TRACKING | {"minCapacity": 3}), None) == 3


def test_applying_the_same_manifest_again_changes_nothing_and_another_number_does() -> None:
    """What a GitOps pipeline does every few minutes, and what a person means by a new number."""
    spec = wanted(provisionedConcurrentExecutions=2, targetTracking=TRACKING)
    out = evaluate(spec, None, 1.0)
    assert (out.before, out.state.capacity) == (2, 4)
    assert out.cause is not None
    assert requested_capacity(spec, out.state) == 4
    assert requested_capacity(wanted(provisionedConcurrentExecutions=3, targetTracking=TRACKING), out.state) == 3


def test_unavailable_metrics_freeze_and_say_so() -> None:
    """Never a collapse to the minimum."""
    spec = wanted(targetTracking=TRACKING)
    state = ScalingState(capacity=8, specified_bounds=[1, 10])
    out = evaluate(spec, state, unavailable="Prometheus does not answer: timeout")
    assert (out.state.capacity, out.cause) == (8, None)
    assert out.fact[:2] == ("False", "MetricsUnavailable")
    assert "Prometheus does not answer" in out.fact[2]


def test_new_bounds_act_at_once() -> None:
    """A capacity below a raised minimum is raised to it (§8.10)."""
    spec = wanted(targetTracking=TRACKING | {"minCapacity": 6})
    out = evaluate(spec, ScalingState(capacity=2, specified_bounds=[1, 10]))
    assert (out.before, out.state.capacity) == (6, 6)


MORNING = {"name": "morning", "schedule": "cron(0 8 ? * MON-FRI *)", "timezone": "Europe/Berlin"}


def test_a_scheduled_action_moves_bounds_and_capacity_at_once() -> None:
    """Ignoring cooldowns (§8.8); 8 in Berlin is 7 in UTC."""
    spec = wanted(
        targetTracking=TRACKING | {"scaleOutCooldown": 3600},
        scheduledActions=[MORNING | {"minCapacity": 5, "maxCapacity": 20}],
    )
    first = evaluate(spec, now=NOW - timedelta(hours=1))
    assert (first.state.capacity, first.cause) == (1, None)
    due = evaluate(spec, first.state)
    assert (due.state.capacity, due.cause) == (5, "from 1 to 5: scheduled action morning")
    again = evaluate(spec, due.state, now=NOW + timedelta(minutes=1))
    assert (again.state, again.cause) == (due.state, None)
    assert requested_capacity(spec, due.state) == 5


def test_what_came_due_while_nobody_looked_counts_once() -> None:
    """An operator that was away over the weekend."""
    actions = [
        MORNING | {"minCapacity": 5},
        {"name": "evening", "schedule": "cron(0 20 ? * MON-FRI *)", "minCapacity": 2},
    ]
    spec = wanted(targetTracking=TRACKING, scheduledActions=actions)
    state = ScalingState(capacity=1, specified_bounds=[1, 10], scheduled_at="2026-02-26T00:00:00Z")
    out = evaluate(spec, state, now=datetime(2026, 2, 27, 21, 0, tzinfo=UTC))
    assert (out.state.min_capacity, out.state.capacity) == (2, 2)
    assert out.cause == "from 1 to 2: scheduled action morning, evening"


def test_suspended_actions_are_not_made_up_for() -> None:
    """What came due meanwhile is over."""
    spec = wanted(
        targetTracking=TRACKING,
        scheduledActions=[MORNING | {"minCapacity": 5}],
        suspendedState={"scheduledScalingSuspended": True},
    )
    out = evaluate(spec, ScalingState(capacity=1, specified_bounds=[1, 10], scheduled_at="2026-03-02T06:00:00Z"))
    assert out.state.capacity == 1
    resumed = wanted(targetTracking=TRACKING, scheduledActions=[MORNING | {"minCapacity": 5}])
    assert evaluate(resumed, out.state, now=NOW + timedelta(minutes=5)).state.capacity == 1


def test_an_edited_target_ends_what_a_scheduled_action_had_set() -> None:
    """People's newer word counts."""
    state = ScalingState(capacity=8, specified_bounds=[1, 10], min_capacity=8, max_capacity=20)
    assert requested_capacity(wanted(targetTracking=TRACKING), state) == 8
    edited = wanted(targetTracking=TRACKING | {"maxCapacity": 4})
    out = evaluate(edited, state)
    assert (out.state.capacity, out.state.min_capacity) == (4, None)


def test_one_unusable_schedule_is_named_and_the_others_run() -> None:
    """With the condition that says what to mend."""
    actions = [
        {"name": "typo", "schedule": "cron(0 25 * * ? *)", "minCapacity": 9},
        {"name": "nowhere", "schedule": "rate(5 minutes)", "timezone": "Europe/Atlantis", "minCapacity": 9},
        MORNING | {"minCapacity": 5},
    ]
    spec = wanted(targetTracking=TRACKING, scheduledActions=actions)
    out = evaluate(spec, ScalingState(capacity=1, specified_bounds=[1, 10], scheduled_at="2026-03-02T06:00:00Z"))
    assert out.state.capacity == 5
    assert out.fact[:2] == ("False", "InvalidSchedule")
    assert "typo" in out.fact[2]
    assert "Europe/Atlantis" in out.fact[2]


def test_a_schedule_that_is_over_is_no_fault() -> None:
    """It set its bounds when it was due, and they stay."""
    actions = [{"name": "launch", "schedule": "cron(0 0 1 3 ? 2026)", "minCapacity": 4}]
    spec = wanted(targetTracking=TRACKING, scheduledActions=actions)
    before = ScalingState(capacity=1, specified_bounds=[1, 10], scheduled_at="2026-02-27T06:00:00Z")
    due = evaluate(spec, before, now=datetime(2026, 3, 1, 0, 1, tzinfo=UTC))
    assert (due.state.capacity, due.cause) == (4, "from 1 to 4: scheduled action launch")
    over = evaluate(spec, due.state)
    assert (over.state.capacity, over.fact[0]) == (4, "True")


def test_steady_utilization_writes_nothing_new() -> None:
    """The same state and the same words, whatever the figure: a thousand aliases are no thousand writes a minute."""
    spec = wanted(targetTracking=TRACKING)
    first = evaluate(spec, None, 0.48)
    second = evaluate(spec, first.state, 0.47, now=NOW + timedelta(minutes=1))
    assert (first.state, first.fact) == (second.state, second.fact)
