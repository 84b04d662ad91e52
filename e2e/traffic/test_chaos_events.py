"""A short form of `make chaos-events`: what was taken runs, whatever is killed meanwhile."""

import pytest

from traffic import chaos_events

SECONDS = 14


@pytest.mark.exclusive
@pytest.mark.timeout(900)
def test_nothing_that_was_taken_is_lost_while_everything_is_killed() -> None:
    """Event queue, frontend, all pollers, environment and operator, each once; the figures are printed.

    Events that got a 202, messages, and the records of a stream in their order.
    """
    figures = chaos_events.run(
        SECONDS, sources=("events", "sqs", "kinesis"), per_second=10, pause=SECONDS / 6, together=("pollers",)
    )
    print(chaos_events.table(figures))
    for name, each in figures["sources"].items():
        assert each["lost"] == 0, name
        assert each["sent"] > 5, name
        assert each["order"] != "BROKEN", name
    assert figures["killed"].keys() >= set(chaos_events.VICTIMS)
