"""Whether the cluster enforces NetworkPolicies: when to try, and what a try means: pure, with the time passed in.

Probers on a few nodes try what a policy keeps from them, on a listener of ours: a way out, and a way in. What is known
is kept, so that a new leader need not try again. Nothing waits for it: each environment that is born closed finds out
by itself that it is (`docs/decisions/0012`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from kubelambda.api.conditions import ConditionStatus, Fact
from kubelambda.api.reasons import Reason

LOOK_S = 1.0
"""Pause between two looks at pods that are under way."""
_GONE_S = 5.0
"""Pause between two looks at pods that are on their way out."""
_SKEW_S = 300.0
"""How far the clock of an earlier leader may have been ahead."""
PROBERS_MAX = 3
"""Nodes that are tried at most."""
_SAID_MAX_CHARS = 300
_OPEN = (
    "packets passed that a NetworkPolicy forbids{where}: the network plugin does not enforce NetworkPolicies, or takes "
    "longer than the probe; install one that does, or turn its enforcement on"
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


def enforcement_fact(found: EnforcementVerdict) -> Fact:
    """The condition of a function, or of a version of one, that has a vpcConfig."""
    status: ConditionStatus = "Unknown" if found.enforced is None else "True" if found.enforced else "False"
    return "NetworkEnforced", status, found.reason, found.message


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
    """A pod of a try, as it was seen."""

    created: datetime
    phase: str
    """Kubernetes' word."""
    address: str = ""
    terminating: bool = False
    exit_code: int | None = None
    said: str = ""
    """Why it does not run, or the last that it wrote."""
    node: str = ""
    """Where it runs."""

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
    probers: Sequence[ProbePod | None] = (None,)
    """As many as there are to be; those that are there beyond that too."""

    @property
    def pods(self) -> Sequence[ProbePod]:
        """Those that are there."""
        return [pod for pod in (self.listener, *self.probers) if pod is not None]


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
class StartProbers:
    """The listener has an address; `numbers` are those that are missing."""

    address: str
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Conclude:
    """A try is over, whatever it found."""

    verdict: EnforcementVerdict


type ProbeStep = Rest | ClearPods | StartListener | StartProbers | Conclude


def next_step(observed: ObservedProbe, times: ProbeTimes, now: datetime) -> ProbeStep:
    """What to do about the probe."""
    rest = _rest(observed, times, now)
    if rest > 0:
        staying = any(not pod.terminating for pod in observed.pods)
        return ClearPods() if staying else Rest(rest)
    if any(pod.terminating for pod in observed.pods):
        return Rest(_GONE_S)
    if observed.listener is None:
        return ClearPods() if observed.pods else StartListener()
    return _step_of_try(observed.listener, observed.probers, times, now)


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


def _step_of_try(listener: ProbePod, probers: Sequence[ProbePod | None], times: ProbeTimes, now: datetime) -> ProbeStep:
    there = [prober for prober in probers if prober is not None]
    age = (now - listener.created).total_seconds()
    if age > 2 * times.limit:  # nobody looked when it was time
        return ClearPods()
    placed = [prober for prober in there if prober.node]
    if age > times.limit and placed:  # a full node takes none: those count that found one
        verdict = _verdict(placed, whole=True)
    else:
        verdict = _verdict(there, whole=len(there) == len(probers))
    if verdict is not None:
        return Conclude(verdict)
    if listener.ended:
        return Conclude(unknown(Reason.PROBE_FAILED, f"the listener has ended{_told(listener)}"))
    if age > times.limit:
        waiting = next((prober for prober in there if not prober.ended), None)
        name, pod = ("prober", waiting) if waiting else ("listener", listener)
        why = f"after {times.limit:.0f} s its {name} pod is {pod.phase}{_told(pod)}"
        return Conclude(unknown(Reason.PROBE_TIMED_OUT, why))
    missing = tuple(number for number, prober in enumerate(probers) if prober is None)
    if missing and listener.phase == "Running" and listener.address:
        return StartProbers(listener.address, missing)
    return Rest(LOOK_S)


def _verdict(probers: Sequence[ProbePod], *, whole: bool) -> EnforcementVerdict | None:
    """What they found together: one that got through is enough, and only all of them can say that nobody did."""
    ended = [prober for prober in probers if prober.ended]
    for prober in ended:
        if prober.exit_code == ProbeExit.OPEN:
            where = f" on node {prober.node}" if prober.node else ""
            return EnforcementVerdict(False, Reason.NETWORK_NOT_ENFORCED, _OPEN.format(where=where) + _told(prober))
    if not whole or len(ended) < len(probers):
        return None
    failed = next((prober for prober in ended if prober.exit_code != ProbeExit.ENFORCED), None)
    if failed is not None:
        return _failure(failed)
    nodes = sorted({prober.node for prober in ended if prober.node})
    where = f", on {'node' if len(nodes) == 1 else 'nodes'} {', '.join(nodes)}" if nodes else ""
    message = f"packets that a NetworkPolicy forbids did not pass when it was tried{where}"
    return EnforcementVerdict(True, Reason.ENFORCED, message)


def _failure(prober: ProbePod) -> EnforcementVerdict:
    """Of one that could not try."""
    match prober.exit_code:
        case ProbeExit.UNREACHED:
            why = "the prober did not reach what its policy allows; look for other policies in the release's namespace"
            return unknown(Reason.PROBE_FAILED, why)
    return unknown(Reason.PROBE_FAILED, f"the prober has ended with {prober.exit_code}{_told(prober)}")


def _told(pod: ProbePod) -> str:
    said = " ".join(pod.said.split())
    return f": {said[-_SAID_MAX_CHARS:]}" if said else ""
