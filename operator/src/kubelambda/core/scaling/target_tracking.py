"""Target tracking of provisioned concurrency: Application Auto Scaling's algorithm as a pure function (§8.4 to §8.8).

Samples are one-minute averages of utilization, executing / allocated. Two alarms look at them:

```
  high   all of the last 3 above the target                 out, at once:  ceil(capacity x latest / target)
  low    all of the last 15 below 0.9 x the target          in, gently:    ceil(capacity x highest / target)
```

A minute without a sample satisfies neither alarm: what is not known never moves the capacity. A minute that began
before the last change was measured with another capacity: until there is one that was not, what the change added is
credited, and nothing is taken away.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

LOW_ALARM_FACTOR = 0.9
"""Below this share of the target the capacity is too large (§8.4)."""
UTILIZATION_MAX = 2.0
"""More can never run than is allocated, but while an allocation shrinks; whoever reports more than this is wrong."""
_ROUNDING = 1e-9
_SETTLING = 0.25
"""Share of a period within which a change is in force: an average may reach back over it by so much."""


@dataclass(frozen=True, slots=True)
class TrackingPolicy:
    """What people ask for. Capacities in environments, cooldowns in seconds, `target` as a fraction (0.1 to 0.9)."""

    target: float
    minimum: int
    maximum: int
    scale_out_cooldown: float = 0.0
    scale_in_cooldown: float = 0.0
    disable_scale_in: bool = False

    def clamp(self, capacity: int) -> int:
        """The allowed capacity that is nearest."""
        return max(self.minimum, min(capacity, self.maximum))


@dataclass(frozen=True, slots=True)
class Alarms:
    """How the samples are looked at: seconds between two of them, and how many must agree."""

    period: float = 60.0
    out_datapoints: int = 3
    in_datapoints: int = 15


@dataclass(frozen=True, slots=True)
class Suspension:
    """What people have stopped by hand (§8.1)."""

    scale_in: bool = False
    scale_out: bool = False
    scheduled: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """Average utilization of the period that ended at `at`, in seconds since the epoch."""

    at: float
    utilization: float


@dataclass(frozen=True, slots=True)
class ScalingHistory:
    """What was done last: times in seconds since the epoch, and the capacity that the last scaling out began with."""

    scaled_out_at: float | None = None
    scaled_out_from: int = 0
    scaled_in_at: float | None = None


class Verdict(Enum):
    """Why the capacity is what it is, for programs."""

    SCALED_OUT = "ScaledOut"
    SCALED_IN = "ScaledIn"
    WITHIN_TARGET = "WithinTarget"
    AT_LIMIT = "AtLimit"
    COOLING_DOWN = "CoolingDown"
    SUSPENDED = "Suspended"
    NO_TRAFFIC = "NoTraffic"
    INVALID_SAMPLES = "InvalidSamples"


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """The capacity from now on. `why` is one sentence for people; `valid` is False when the samples are of no use."""

    capacity: int
    verdict: Verdict
    why: str
    history: ScalingHistory

    @property
    def valid(self) -> bool:
        """Whether the samples could be trusted."""
        return self.verdict is not Verdict.INVALID_SAMPLES


def scale(
    policy: TrackingPolicy,
    capacity: int,
    samples: Sequence[Sample],
    *,
    now: float,
    history: ScalingHistory | None = None,
    suspension: Suspension | None = None,
    alarms: Alarms | None = None,
) -> ScalingDecision:
    """The capacity that follows from `samples`, newest last; the present one whenever they do not say enough."""
    history, suspension, alarms = history or ScalingHistory(), suspension or Suspension(), alarms or Alarms()
    wrong = _nonsense(samples, now, alarms)
    if wrong:
        return ScalingDecision(capacity, Verdict.INVALID_SAMPLES, f"frozen at {capacity}: {wrong}", history)
    high = _latest(samples, now, alarms, alarms.out_datapoints)
    if high and all(value > policy.target + _ROUNDING for value in high):
        settled = _periods_since(history.scaled_out_at, samples, alarms) > 0
        return _out(policy, capacity, high[-1], now=now, history=history, suspension=suspension, settled=settled)
    low = _latest(samples, now, alarms, alarms.in_datapoints)
    if low and all(value < LOW_ALARM_FACTOR * policy.target - _ROUNDING for value in low):
        changed = max((at for at in (history.scaled_out_at, history.scaled_in_at) if at is not None), default=None)
        own = low[max(0, len(low) - _periods_since(changed, samples, alarms)) :]
        if not own:
            why = f"stays at {capacity}: what the last change made of the utilization is not measured yet"
            return ScalingDecision(capacity, Verdict.COOLING_DOWN, why, history)
        return _in(policy, capacity, max(own), now=now, history=history, suspension=suspension)
    recent = _latest(samples, now, alarms, 1)
    if not recent:
        why = f"stays at {capacity}: nothing was invoked in the last {alarms.period:g} s"
        return ScalingDecision(capacity, Verdict.NO_TRAFFIC, why, history)
    why = f"stays at {capacity}: utilization {recent[-1]:.2f} for a target of {policy.target:g}"
    return ScalingDecision(capacity, Verdict.WITHIN_TARGET, why, history)


def _nonsense(samples: Sequence[Sample], now: float, alarms: Alarms) -> str:
    """Why the samples cannot be what was measured; empty when they can."""
    for sample in samples:
        if not math.isfinite(sample.utilization) or not 0.0 <= sample.utilization <= UTILIZATION_MAX:
            return f"a utilization of {sample.utilization:g} was reported"
        if not math.isfinite(sample.at):
            return "a sample without a time was reported"
        if sample.at > now + alarms.period:
            return f"a sample comes from {sample.at - now:.0f} s ahead: the clocks differ"
    return ""


def _latest(samples: Sequence[Sample], now: float, alarms: Alarms, count: int) -> list[float]:
    """Utilization of each of the last `count` periods, oldest first; empty when one of them has no sample."""
    by_period: dict[int, float] = {}
    for sample in samples:
        age = math.floor(max(0.0, now - sample.at) / alarms.period)
        by_period[age] = sample.utilization
    # The newest sample may be up to one period old: reading it takes its time.
    first = min(by_period, default=count)
    if first > 1:
        return []
    wanted = range(first, first + count)
    return [by_period[age] for age in reversed(wanted)] if all(age in by_period for age in wanted) else []


def _periods_since(change: float | None, samples: Sequence[Sample], alarms: Alarms) -> int:
    """How many of the latest periods were measured with the capacity of now."""
    newest = max(sample.at for sample in samples)
    return len(samples) if change is None else max(0, math.floor((newest - change) / alarms.period + _SETTLING))


def _out(
    policy: TrackingPolicy,
    capacity: int,
    utilization: float,
    *,
    now: float,
    history: ScalingHistory,
    suspension: Suspension,
    settled: bool,
) -> ScalingDecision:
    last = history.scaled_out_at
    cooling = last is not None and (not settled or now - last < policy.scale_out_cooldown)
    # What a scaling out has added already is credited until its cooldown is over and it was measured: only a larger
    # breach adds the difference.
    base = history.scaled_out_from if cooling else capacity
    wanted = policy.clamp(max(capacity, _proportional(base, utilization, policy.target)))
    breach = f"utilization {utilization:.2f} is above the target of {policy.target:g}"
    if wanted <= capacity:
        if cooling and capacity < policy.maximum:
            why = f"stays at {capacity}: {breach}, and the scale-out cooldown runs"
            return ScalingDecision(capacity, Verdict.COOLING_DOWN, why, history)
        why = f"stays at {capacity}: {breach}, and the maximum is {policy.maximum}"
        return ScalingDecision(capacity, Verdict.AT_LIMIT, why, history)
    if suspension.scale_out:
        why = f"stays at {capacity}: {breach}, and scaling out is suspended"
        return ScalingDecision(capacity, Verdict.SUSPENDED, why, history)
    after = ScalingHistory(
        scaled_out_at=history.scaled_out_at if cooling else now, scaled_out_from=base, scaled_in_at=None
    )
    return ScalingDecision(wanted, Verdict.SCALED_OUT, f"from {capacity} to {wanted}: {breach}", after)


def _in(
    policy: TrackingPolicy,
    capacity: int,
    utilization: float,
    *,
    now: float,
    history: ScalingHistory,
    suspension: Suspension,
) -> ScalingDecision:
    wanted = policy.clamp(min(capacity, _proportional(capacity, utilization, policy.target)))
    low = f"utilization stayed at or below {utilization:.2f} for a target of {policy.target:g}"
    if wanted >= capacity:
        why = f"stays at {capacity}: {low}, and fewer would be too few"
        return ScalingDecision(capacity, Verdict.AT_LIMIT, why, history)
    if policy.disable_scale_in or suspension.scale_in:
        word = "disabled" if policy.disable_scale_in else "suspended"
        why = f"stays at {capacity}: {low}, and scaling in is {word}"
        return ScalingDecision(capacity, Verdict.SUSPENDED, why, history)
    last = max((at for at in (history.scaled_out_at, history.scaled_in_at) if at is not None), default=None)
    if last is not None and now - last < policy.scale_in_cooldown:
        why = f"stays at {capacity}: {low}, and the scale-in cooldown runs"
        return ScalingDecision(capacity, Verdict.COOLING_DOWN, why, history)
    after = ScalingHistory(history.scaled_out_at, history.scaled_out_from, scaled_in_at=now)
    return ScalingDecision(wanted, Verdict.SCALED_IN, f"from {capacity} to {wanted}: {low}", after)


def _proportional(capacity: int, utilization: float, target: float) -> int:
    """Environments with which the same work would meet the target."""
    return math.ceil(capacity * utilization / target - _ROUNDING)
