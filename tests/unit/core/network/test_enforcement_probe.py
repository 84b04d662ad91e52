"""When it is tried whether the cluster enforces NetworkPolicies, and what a try means."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kubelambda.api.reasons import Reason
from kubelambda.core.network.enforcement_probe import (
    LOOK_S,
    ClearPods,
    Conclude,
    EnforcementVerdict,
    ObservedProbe,
    ProbeExit,
    ProbePod,
    ProbeStep,
    ProbeTimes,
    Rest,
    StartListener,
    StartProbers,
    next_step,
    unknown,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TIMES = ProbeTimes(interval=86_400, retry=600, limit=180)
ENFORCED = EnforcementVerdict(True, Reason.ENFORCED, "they are")
OPEN = EnforcementVerdict(False, Reason.NETWORK_NOT_ENFORCED, "they are not")
UNKNOWN = unknown(Reason.PROBE_FAILED, "there was no node")


def ago(seconds: float) -> datetime:
    """A moment before now."""
    return NOW - timedelta(seconds=seconds)


PENDING = ProbePod(ago(3), "Pending")
LISTENING = ProbePod(ago(3), "Running", "10.1.0.7")
PROBING = ProbePod(ago(2), "Running", "10.1.0.8")
KEPT_AWAY = ProbePod(ago(2), "Succeeded", exit_code=ProbeExit.ENFORCED, node="one")
GOT_THROUGH = ProbePod(ago(2), "Failed", exit_code=ProbeExit.OPEN, said="reached 10.1.0.7 at [8082]", node="two")
LEAVING = replace(LISTENING, terminating=True)


@pytest.mark.parametrize(
    ("observed", "step"),
    [
        # Nobody knows: a listener, then who tries it, then what was found.
        (ObservedProbe(), StartListener()),
        (ObservedProbe(listener=PENDING), Rest(LOOK_S)),
        (ObservedProbe(listener=replace(PENDING, phase="Running")), Rest(LOOK_S)),
        (ObservedProbe(listener=LISTENING), StartProbers("10.1.0.7", (0,))),
        (ObservedProbe(listener=LISTENING, probers=[PROBING]), Rest(LOOK_S)),
        # On every node: until all have ended, or one got through.
        (ObservedProbe(listener=LISTENING, probers=[None, None]), StartProbers("10.1.0.7", (0, 1))),
        (ObservedProbe(listener=LISTENING, probers=[PROBING, None]), StartProbers("10.1.0.7", (1,))),
        (ObservedProbe(listener=LISTENING, probers=[KEPT_AWAY, PROBING]), Rest(LOOK_S)),
        (ObservedProbe(listener=LISTENING, probers=[KEPT_AWAY, None]), StartProbers("10.1.0.7", (1,))),
        # What is known is not tried again before its time, by whoever leads then.
        (ObservedProbe(ENFORCED, ago(100)), Rest(86_300)),
        (ObservedProbe(ENFORCED, ago(86_400)), StartListener()),
        (ObservedProbe(OPEN, ago(100)), Rest(500)),
        (ObservedProbe(OPEN, ago(600)), StartListener()),
        (ObservedProbe(UNKNOWN, ago(100)), Rest(500)),
        (ObservedProbe(ENFORCED, ago(-60)), Rest(86_460)),
        (ObservedProbe(ENFORCED, ago(-4_000)), StartListener()),
        # Pods that a leader left behind.
        (ObservedProbe(ENFORCED, ago(100), listener=LISTENING), ClearPods()),
        (ObservedProbe(ENFORCED, ago(100), listener=LEAVING, probers=[PROBING]), ClearPods()),
        (ObservedProbe(ENFORCED, ago(100), listener=LEAVING), Rest(86_300)),
        (ObservedProbe(listener=LEAVING), Rest(5)),
        (ObservedProbe(probers=[PROBING]), ClearPods()),
        (ObservedProbe(listener=replace(LISTENING, created=ago(361)), probers=[PROBING]), ClearPods()),
    ],
)
def test_the_next_step(observed: ObservedProbe, step: ProbeStep) -> None:
    """One a situation."""
    assert next_step(observed, TIMES, NOW) == step


def concluded(listener: ProbePod, *probers: ProbePod) -> EnforcementVerdict:
    """What a try has found."""
    step = next_step(ObservedProbe(listener=listener, probers=probers or (None,)), TIMES, NOW)
    assert isinstance(step, Conclude)
    return step.verdict


@pytest.mark.parametrize(
    ("code", "enforced", "reason", "text"),
    [
        (ProbeExit.ENFORCED, True, Reason.ENFORCED, "did not pass"),
        (ProbeExit.OPEN, False, Reason.NETWORK_NOT_ENFORCED, "install one that does"),
        (ProbeExit.UNREACHED, None, Reason.PROBE_FAILED, "other policies in the release's namespace"),
        (137, None, Reason.PROBE_FAILED, "ended with 137: it was killed"),
        (None, None, Reason.PROBE_FAILED, "ended with None"),
    ],
)
def test_what_an_exit_code_means(code: int | None, enforced: bool | None, reason: Reason, text: str) -> None:
    """Only who has tried can say that nothing is enforced; each verdict says what to do, or why there is none."""
    phase = "Succeeded" if code == 0 else "Failed"
    prober = ProbePod(ago(2), phase, exit_code=code, said="it was\n killed" if code == 137 else "")
    found = concluded(LISTENING, prober)
    assert (found.enforced, found.reason) == (enforced, reason)
    assert text in found.message


def test_a_try_ends_in_time() -> None:
    """Whatever its pods wait for is what people are told."""
    late = replace(PENDING, created=ago(181), said="0/3 nodes are available")
    assert concluded(late) == unknown(
        Reason.PROBE_TIMED_OUT, "after 180 s its listener pod is Pending: 0/3 nodes are available"
    )
    found = concluded(replace(LISTENING, created=ago(181)), replace(PENDING, said="ErrImageNeverPull"))
    assert found.message.endswith("its prober pod is Pending: ErrImageNeverPull")
    ended = concluded(replace(LISTENING, phase="Failed", said="exec format error"))
    assert (ended.enforced, ended.reason) == (None, Reason.PROBE_FAILED)
    assert ended.message.endswith("the listener has ended: exec format error")


def test_a_node_without_room_keeps_nobody_from_knowing() -> None:
    """Once the time is over those count that found a node; one that runs there for ever, or that none did, is told."""
    late, unplaced = replace(LISTENING, created=ago(181)), replace(PENDING, said="1 Insufficient cpu")
    found = concluded(late, KEPT_AWAY, unplaced, replace(KEPT_AWAY, node="three"))
    assert (found.enforced, found.message.partition(", on ")[2]) == (True, "nodes one, three")
    for others in ([KEPT_AWAY, replace(PROBING, node="two")], [unplaced]):
        assert concluded(late, *others, unplaced).reason is Reason.PROBE_TIMED_OUT
    assert next_step(ObservedProbe(listener=LISTENING, probers=[KEPT_AWAY, unplaced]), TIMES, NOW) == Rest(LOOK_S)


def test_one_node_that_enforces_nothing_is_enough_and_is_named() -> None:
    """Whatever others still do or have found; that all do needs all of them."""
    for others in ([], [PROBING], [KEPT_AWAY], [KEPT_AWAY, PROBING]):
        found = concluded(LISTENING, *others, GOT_THROUGH)
        assert (found.enforced, found.reason) == (False, Reason.NETWORK_NOT_ENFORCED)
        assert "forbids on node two: " in found.message
        assert found.message.endswith("reached 10.1.0.7 at [8082]")
    found = concluded(LISTENING, KEPT_AWAY, replace(KEPT_AWAY, node="two"))
    assert (found.enforced, found.message.partition(", on ")[2]) == (True, "nodes one, two")
    unreached = ProbePod(ago(2), "Failed", exit_code=ProbeExit.UNREACHED)
    assert concluded(LISTENING, KEPT_AWAY, unreached).reason is Reason.PROBE_FAILED
