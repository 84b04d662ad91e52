"""Whether the cluster enforces NetworkPolicies: when to try, and what a try means: pure, with the time passed in.

A prober tries what a policy keeps from it, on a listener of ours. What is known is kept, so that a new leader need not
try again. Nothing waits for it: each environment that is born closed finds out by itself that it is
(`docs/decisions/0012`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from kubelambda.api.reasons import Reason

LOOK_S = 1.0
"""Pause between two looks at pods that are under way."""
_GONE_S = 5.0
"""Pause between two looks at pods that are on their way out."""
_SKEW_S = 300.0
"""How far the clock of an earlier leader may have been ahead."""
_SAID_MAX_CHARS = 300
_OPEN = (
    "packets passed that a NetworkPolicy forbids: the cluster's network plugin does not enforce NetworkPolicies, or "
    "takes longer than the probe; install one that does, or turn its enforcement on"
)


class ProbeExit(IntEnum):
    """What the prober found, as its exit code; every other code says that it could not try."""

    ENFORCED = 0
    OPEN = 10
    """It reached what the policy forbids, until its time was over."""
    UNREACHED = 11
    """It did not even reach what the policy allows."""


@dataclass(frozen=True, slots=True)
class EnforcementVerdict:
    """Whether the cluster enforces NetworkPolicies."""

    enforced: bool | None
    """None: nobody knows."""
    reason: Reason
    message: str


UNTRIED = EnforcementVerdict(
    None, Reason.NOT_PROBED, "nobody has tried yet whether the cluster enforces NetworkPolicies"
)
SWITCHED_OFF = EnforcementVerdict(
    None,
    Reason.NOT_PROBED,
    "whether the cluster enforces NetworkPolicies is not tried in this installation (networkPolicies.probe.enabled)",
)
"""For installations without a probe."""


@dataclass(frozen=True, slots=True)
class ProbePod:
    """One of the two pods of a try, as it was seen."""

    created: datetime
    phase: str
    """Kubernetes' word."""
    address: str = ""
    terminating: bool = False
    exit_code: int | None = None
    said: str = ""
    """Why it does not run, or the last that it wrote."""

    @property
    def ended(self) -> bool:
        """Whether it will not do any more."""
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class ObservedProbe:
    """Everything that the next step depends on."""

    verdict: EnforcementVerdict | None = None
    """What was found last; None: nobody has tried."""
    at: datetime | None = None
    """When that was."""
    listener: ProbePod | None = None
    prober: ProbePod | None = None

    @property
    def pods(self) -> Sequence[ProbePod]:
        """Those that are there."""
        return [pod for pod in (self.listener, self.prober) if pod is not None]


@dataclass(frozen=True, slots=True)
class ProbeTimes:
    """How often, and how long, in seconds."""

    interval: float
    """After a try that found policies enforced."""
    retry: float
    """After any other."""
    limit: float
    """For one try, from the listener's creation."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ClearPods:
    """Pods of a try are there that nobody needs."""


@dataclass(frozen=True, slots=True)
class StartListener:
    """A try begins."""


@dataclass(frozen=True, slots=True)
class StartProber:
    """The listener has an address."""

    address: str


@dataclass(frozen=True, slots=True)
class Conclude:
    """A try is over, whatever it found."""

    verdict: EnforcementVerdict


type ProbeStep = Rest | ClearPods | StartListener | StartProber | Conclude


def next_step(observed: ObservedProbe, times: ProbeTimes, now: datetime) -> ProbeStep:
    """What to do about the probe."""
    rest = _rest(observed, times, now)
    if rest > 0:
        staying = any(not pod.terminating for pod in observed.pods)
        return ClearPods() if staying else Rest(rest)
    if any(pod.terminating for pod in observed.pods):
        return Rest(_GONE_S)
    if observed.listener is None:
        return ClearPods() if observed.prober else StartListener()
    return _step_of_try(observed.listener, observed.prober, times, now)


def unknown(reason: Reason, why: str) -> EnforcementVerdict:
    """The verdict of a try that came to nothing."""
    return EnforcementVerdict(None, reason, f"whether the cluster enforces NetworkPolicies could not be tried: {why}")


def _rest(observed: ObservedProbe, times: ProbeTimes, now: datetime) -> float:
    """Seconds until the next try is due."""
    if observed.verdict is None or observed.at is None:
        return 0.0
    pause = times.interval if observed.verdict.enforced else times.retry
    age = (now - observed.at).total_seconds()
    return pause - age if age > -_SKEW_S else 0.0


def _step_of_try(listener: ProbePod, prober: ProbePod | None, times: ProbeTimes, now: datetime) -> ProbeStep:
    age = (now - listener.created).total_seconds()
    if age > 2 * times.limit:  # nobody looked when it was time
        return ClearPods()
    if prober is not None and prober.ended:
        return Conclude(_verdict(prober))
    if listener.ended:
        return Conclude(unknown(Reason.PROBE_FAILED, f"the listener has ended{_told(listener)}"))
    if age > times.limit:
        name, pod = ("prober", prober) if prober else ("listener", listener)
        why = f"after {times.limit:.0f} s its {name} pod is {pod.phase}{_told(pod)}"
        return Conclude(unknown(Reason.PROBE_TIMED_OUT, why))
    if prober is None and listener.phase == "Running" and listener.address:
        return StartProber(listener.address)
    return Rest(LOOK_S)


def _verdict(prober: ProbePod) -> EnforcementVerdict:
    match prober.exit_code:
        case ProbeExit.ENFORCED:
            message = "packets that a NetworkPolicy forbids did not pass when it was tried"
            return EnforcementVerdict(True, Reason.ENFORCED, message)
        case ProbeExit.OPEN:
            return EnforcementVerdict(False, Reason.NETWORK_NOT_ENFORCED, _OPEN)
        case ProbeExit.UNREACHED:
            why = "the prober did not reach what its policy allows; look for other policies in the release's namespace"
            return unknown(Reason.PROBE_FAILED, why)
    return unknown(Reason.PROBE_FAILED, f"the prober has ended with {prober.exit_code}{_told(prober)}")


def _told(pod: ProbePod) -> str:
    said = " ".join(pod.said.split())
    return f": {said[-_SAID_MAX_CHARS:]}" if said else ""
