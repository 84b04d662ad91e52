"""How long whoever streams has to wait."""

import pytest

from kubelambda.core.invoke.stream_pace import StreamPace


def test_the_burst_goes_at_once_and_the_rest_by_the_second() -> None:
    """What was sent too early is waited for afterwards."""
    pace = StreamPace(600, 200)
    assert pace.take(400, 10.0) == 0
    assert pace.take(200, 10.0) == 0
    assert pace.take(100, 10.0) == pytest.approx(0.5)
    assert pace.take(100, 10.5) == pytest.approx(0.5)


def test_who_sends_slowly_never_waits_and_saves_no_more_than_a_burst() -> None:
    """A minute of silence is worth six hundred bytes, and not twelve thousand."""
    pace = StreamPace(600, 200)
    for second in range(20):
        assert pace.take(200, float(second)) == 0
    assert pace.take(600, 100.0) == 0
    assert pace.take(200, 100.0) == pytest.approx(1.0)


def test_no_rate_is_no_bound() -> None:
    """As an installation may say."""
    pace = StreamPace(1, 0)
    assert [pace.take(1 << 30, 1.0) for _ in range(3)] == [0, 0, 0]
