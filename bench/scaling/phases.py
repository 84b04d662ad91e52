"""The load: how many callers there are at a time, from none over fifty to five."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """Callers at its end, and how long it takes to come there, in seconds."""

    callers: int
    seconds: float


PHASES = (Phase(50, 60), Phase(50, 45), Phase(5, 15), Phase(5, 70))


def callers_at(elapsed: float, phases: tuple[Phase, ...] = PHASES) -> int | None:
    """Callers after `elapsed` seconds; None once the load is over."""
    before = 0
    for phase in phases:
        if elapsed < phase.seconds:
            return round(before + (phase.callers - before) * elapsed / phase.seconds)
        elapsed -= phase.seconds
        before = phase.callers
    return None
