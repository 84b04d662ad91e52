"""What one evaluation makes of an alias: scheduled actions first, then target tracking; pure (§8.4 to §8.9).

The capacity lives in the status. The spec's number is what it begins with: a pipeline that applies the same manifest
again changes nothing; one that applies another number sets the capacity anew, as PutProvisionedConcurrencyConfig does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kubelambda.api.conditions import ConditionStatus, timestamp
from kubelambda.api.kinds.provisioned_concurrency import AliasProvisionedConcurrency, ScalingState, ScheduledAction
from kubelambda.core.scaling.schedule import InvalidSchedule, Schedule, parse_schedule
from kubelambda.core.scaling.target_tracking import (
    Alarms,
    Sample,
    ScalingHistory,
    Suspension,
    TrackingPolicy,
    Verdict,
    scale,
)

_UNBOUNDED = 1_000_000

type ScalingFact = tuple[ConditionStatus, str, str]
"""Status, reason and message of the condition ScalingActive."""

_WITHIN: Mapping[Verdict, str] = {
    Verdict.SCALED_OUT: "the capacity follows the utilization",
    Verdict.SCALED_IN: "the capacity follows the utilization",
    Verdict.WITHIN_TARGET: "the capacity follows the utilization",
    Verdict.NO_TRAFFIC: "nothing is invoked: the capacity stays as it is",
    Verdict.AT_LIMIT: "the capacity has reached its bounds",
    Verdict.COOLING_DOWN: "a cooldown runs",
    Verdict.SUSPENDED: "scaling is suspended",
}


@dataclass(frozen=True, slots=True)
class AliasMetrics:
    """What a reader knows of an alias. `unavailable` says why there is nothing to be believed."""

    samples: Sequence[Sample] = ()
    unavailable: str | None = None


@dataclass(frozen=True, slots=True)
class ScalingOutcome:
    """The state to keep, one sentence when the capacity changed, and the condition."""

    state: ScalingState
    before: int
    cause: str | None
    fact: ScalingFact


def scales(wanted: AliasProvisionedConcurrency) -> bool:
    """Whether anything but people changes the capacity."""
    return wanted.target_tracking is not None or bool(wanted.scheduled_actions)


def requested_capacity(wanted: AliasProvisionedConcurrency, state: ScalingState | None) -> int:
    """Environments that an alias asks for now."""
    given = wanted.provisioned_concurrent_executions
    if not scales(wanted):
        return given or 0
    low, high = _bounds(wanted, state)
    if state is not None and state.specified == given:
        return max(low, min(state.capacity, high))
    return max(low, min(low if given is None else given, high))


def decide_scaling(
    wanted: AliasProvisionedConcurrency,
    state: ScalingState | None,
    metrics: AliasMetrics,
    *,
    now: datetime,
    alarms: Alarms,
) -> ScalingOutcome:
    """One evaluation. Whatever is not known leaves the capacity as it is, and the condition says so."""
    before = requested_capacity(wanted, state)
    state, scheduled, faults = _run_schedule(wanted, _current(wanted, state, before), now)
    low, high = _bounds(wanted, state)
    capacity = max(low, min(before, high))
    cause = f"from {before} to {capacity}: {scheduled}" if capacity != before else None
    history = _history(state)
    fact: ScalingFact = ("True", "Scheduled", "scheduled actions set the bounds of the capacity")
    tracking = wanted.target_tracking
    if tracking is not None and metrics.unavailable is not None:
        fact = ("False", "MetricsUnavailable", f"the capacity is frozen: {metrics.unavailable}")
    elif tracking is not None:
        suspended = wanted.suspended_state
        decision = scale(
            TrackingPolicy(
                target=tracking.target_value,
                minimum=low,
                maximum=high,
                scale_out_cooldown=tracking.scale_out_cooldown,
                scale_in_cooldown=tracking.scale_in_cooldown,
                disable_scale_in=tracking.disable_scale_in,
            ),
            capacity,
            metrics.samples,
            now=now.timestamp(),
            history=history,
            suspension=Suspension(
                scale_in=suspended.dynamic_scaling_in_suspended, scale_out=suspended.dynamic_scaling_out_suspended
            ),
            alarms=alarms,
        )
        if decision.capacity != capacity:
            cause, capacity, history = decision.why, decision.capacity, decision.history
        fact = _fact(decision.verdict, decision.why)
    if faults:
        fact = ("False", "InvalidSchedule", "; ".join(faults))
    return ScalingOutcome(_with(state, capacity, history), before, cause, fact)


def _fact(verdict: Verdict, why: str) -> ScalingFact:
    if verdict is Verdict.INVALID_SAMPLES:
        return "False", verdict.value, why
    # Figures would make every evaluation of a thousand aliases a write.
    return "True", verdict.value if verdict in (Verdict.NO_TRAFFIC, Verdict.SUSPENDED) else "Active", _WITHIN[verdict]


def _current(wanted: AliasProvisionedConcurrency, state: ScalingState | None, capacity: int) -> ScalingState:
    """The state, without what a changed spec has made void."""
    specified, bounds = wanted.provisioned_concurrent_executions, _specified_bounds(wanted)
    if state is None:
        return ScalingState(capacity=capacity, specified=specified, specified_bounds=bounds)
    if state.specified_bounds != bounds:
        state = state.model_copy(update={"min_capacity": None, "max_capacity": None, "specified_bounds": bounds})
    return state.model_copy(update={"capacity": capacity, "specified": specified})


def _specified_bounds(wanted: AliasProvisionedConcurrency) -> list[int]:
    tracking = wanted.target_tracking
    return [tracking.min_capacity, tracking.max_capacity] if tracking else []


def _bounds(wanted: AliasProvisionedConcurrency, state: ScalingState | None) -> tuple[int, int]:
    """Capacity at least and at most: what a scheduled action set last, else the spec's."""
    low, high = _specified_bounds(wanted) or (0, _UNBOUNDED)
    if state is not None and state.specified_bounds == _specified_bounds(wanted):
        low = low if state.min_capacity is None else state.min_capacity
        high = high if state.max_capacity is None else state.max_capacity
    return low, max(low, high)


def _run_schedule(
    wanted: AliasProvisionedConcurrency, state: ScalingState, now: datetime
) -> tuple[ScalingState, str, list[str]]:
    """The bounds after every action that came due since the last one; why; and which schedules are unusable.

    What came due while nobody looked counts once, by its last time; what came due while suspended never does.
    """
    schedules, faults = _parsed_schedules(wanted)
    if not wanted.scheduled_actions:
        return state, "the bounds changed", []
    since = _parsed(state.scheduled_at)
    if since is None:
        return state.model_copy(update={"scheduled_at": timestamp(now)}), "the bounds changed", faults
    due = [(at, action) for action, schedule in schedules if (at := schedule.last(after=since, until=now)) is not None]
    if not due:
        return state, "the bounds changed", faults
    change: dict[str, object] = {"scheduled_at": timestamp(max(at for at, _ in due))}
    names = []
    for _, action in sorted(due, key=lambda found: found[0]):
        if wanted.suspended_state.scheduled_scaling_suspended:
            continue
        names.append(action.name)
        change |= {"min_capacity": action.min_capacity} if action.min_capacity is not None else {}
        change |= {"max_capacity": action.max_capacity} if action.max_capacity is not None else {}
    return state.model_copy(update=change), f"scheduled action {', '.join(names)}", faults


def _parsed_schedules(
    wanted: AliasProvisionedConcurrency,
) -> tuple[list[tuple[ScheduledAction, Schedule]], list[str]]:
    """The schedules that can be used, and what is wrong with the others."""
    found, faults = [], []
    for action in wanted.scheduled_actions:
        try:
            found.append((action, parse_schedule(action.schedule, action.timezone)))
        except InvalidSchedule as error:
            faults.append(f"scheduled action {action.name}: {error}")
    return found, faults


def _history(state: ScalingState) -> ScalingHistory:
    out, back = _parsed(state.scaled_out_at), _parsed(state.scaled_in_at)
    return ScalingHistory(
        scaled_out_at=out.timestamp() if out else None,
        scaled_out_from=state.scaled_out_from or 0,
        scaled_in_at=back.timestamp() if back else None,
    )


def _with(state: ScalingState, capacity: int, history: ScalingHistory) -> ScalingState:
    return state.model_copy(
        update={
            "capacity": capacity,
            "scaled_out_at": _written(history.scaled_out_at),
            "scaled_out_from": history.scaled_out_from or None,
            "scaled_in_at": _written(history.scaled_in_at),
        }
    )


def _parsed(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _written(seconds: float | None) -> str | None:
    return timestamp(datetime.fromtimestamp(seconds, UTC)) if seconds is not None else None
