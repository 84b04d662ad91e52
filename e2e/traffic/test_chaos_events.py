"""A short form of `make chaos-events`: what had a 202 runs, whatever is killed meanwhile."""

import pytest

from traffic import chaos_events

SECONDS = 14


@pytest.mark.exclusive
def test_no_promised_event_is_lost_while_everything_is_killed() -> None:
    """Event queue, frontend, environment and operator, each once; the figures are printed."""
    figures = chaos_events.run(SECONDS, per_second=20, pause=SECONDS / 4)
    print(figures)
    assert figures["lost"] == 0
    assert figures["promised"] > 20
    assert sum(figures["killed"].values()) >= 3
