"""Looks at a gauge become averages of whole periods, and idle periods have none (§8.3)."""

from kubelambda.core.scaling.utilization_window import UtilizationWindow


def test_a_period_is_the_average_of_its_looks() -> None:
    """It counts once it is over."""
    window = UtilizationWindow(60.0, 15)
    for index, value in enumerate([0.5, 1.0, 0.0, 0.5]):
        window.observe(600.0 + index * 15, value, float(index))
    assert list(window.samples(650.0)) == []
    (sample,) = window.samples(661.0)
    assert (sample.at, sample.utilization) == (660.0, 0.5)


def test_a_period_without_an_invocation_has_no_sample() -> None:
    """A counter that stands still: nothing was invoked, whatever the gauge says."""
    window = UtilizationWindow(10.0, 15)
    for at in (0.0, 5.0, 10.0, 15.0, 20.0):
        window.observe(at, 0.0, 7.0)
    assert list(window.samples(30.0)) == []


def test_a_counter_that_begins_anew_is_traffic() -> None:
    """A frontend was replaced, and serves."""
    window = UtilizationWindow(10.0, 15)
    window.observe(0.0, 0.5, 100.0)
    window.observe(5.0, 0.5, 3.0)
    assert [sample.utilization for sample in window.samples(10.0)] == [0.5]


def test_old_periods_are_forgotten() -> None:
    """What a thousand aliases remember stays small."""
    window = UtilizationWindow(1.0, 3)
    for at in range(100):
        window.observe(float(at), 1.0, float(at))
    assert [sample.at for sample in window.samples(100.0)] == [97.0, 98.0, 99.0, 100.0]
