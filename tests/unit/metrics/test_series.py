"""What we count looks to Prometheus as if prometheus-client had counted it."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from kubelambda.metrics.metric_registry import MetricRegistry
from kubelambda.metrics.series import CounterSeries, GaugeSeries, HistogramSeries, LookedSeries

LABELS = ["namespace", "function"]
BOUNDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10)
NAMES = st.tuples(st.sampled_from(["default", 'odd"\\name\n']), st.sampled_from(["hello", "bye"]))
SECONDS = st.one_of(st.sampled_from(BOUNDS), st.floats(0, 20, allow_nan=False).map(lambda found: round(found, 4)))
LEVELS = st.one_of(st.floats(), st.integers(-(10**12), 10**12))


@pytest.fixture(autouse=True)
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Series say when they were created."""
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.25)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(NAMES, SECONDS, LEVELS)), st.lists(NAMES, max_size=2))
def test_the_text_is_that_of_prometheus_client(
    samples: list[tuple[tuple[str, str], float, float]], gone: list[tuple[str, str]]
) -> None:
    """The same names, labels, values and order, of series that were removed too."""
    theirs, ours = CollectorRegistry(), MetricRegistry()
    counter = Counter("kubelambda_invocations_total", "Invocations that ran", LABELS, registry=theirs)
    histogram = Histogram("kubelambda_duration_seconds", "Time\nof one", LABELS, buckets=BOUNDS, registry=theirs)
    gauge = Gauge("kubelambda_environments", "Environments", LABELS, registry=theirs)
    counts = CounterSeries("kubelambda_invocations_total", "Invocations that ran", LABELS, ours)
    distributions = HistogramSeries("kubelambda_duration_seconds", "Time\nof one", LABELS, BOUNDS, ours)
    levels = GaugeSeries("kubelambda_environments", "Environments", LABELS, ours)
    for names, seconds, level in samples:
        counter.labels(*names).inc(seconds)
        counts.of(*names).value += seconds
        histogram.labels(*names).observe(seconds)
        distributions.of(*names).add(seconds)
        gauge.labels(*names).set(level)
        levels.set(level, *names)
    for names in set(gone) & {names for names, _, _ in samples}:
        for each in (counter, histogram, gauge):
            each.remove(*names)
        for series in (counts, distributions, levels):
            series.remove(*names)
    assert ours.text() == generate_latest(theirs)


def test_what_has_no_labels_is_there_from_the_start() -> None:
    """As in prometheus-client: an alert on its increase needs a first value."""
    theirs, ours = CollectorRegistry(), MetricRegistry()
    Counter("kubelambda_forwards_total", "Forwards", registry=theirs)
    Gauge("kubelambda_leader", "Leader", registry=theirs).set_function(lambda: 3)
    Gauge("kubelambda_lag", "Lag", registry=theirs)
    CounterSeries("kubelambda_forwards_total", "Forwards", [], ours)
    LookedSeries("kubelambda_leader", "Leader", ours).follow(lambda: 3)
    GaugeSeries("kubelambda_lag", "Lag", [], ours)
    assert ours.text() == generate_latest(theirs)


def test_a_sample_is_found_by_its_name_and_all_its_labels() -> None:
    """Of a counter and of a histogram."""
    registry = MetricRegistry()
    CounterSeries("kubelambda_errors_total", "Errors", LABELS, registry).of("default", "hello").value += 2
    HistogramSeries("kubelambda_duration_seconds", "Time", LABELS, BOUNDS, registry).of("default", "hello").add(3)
    names = {"namespace": "default", "function": "hello"}
    assert registry.value("kubelambda_errors_total", names) == 2
    assert registry.value("kubelambda_duration_seconds_sum", names) == 3
    assert registry.value("kubelambda_errors_total", {"namespace": "default"}) is None


def test_a_series_that_was_removed_begins_again_at_nothing() -> None:
    """Whoever still counts in it changes nothing that is shown."""
    registry = MetricRegistry()
    series = CounterSeries("kubelambda_errors_total", "Errors", LABELS, registry)
    former = series.of("default", "hello")
    former.value += 1
    series.remove("default", "hello")
    former.value += 1
    names = {"namespace": "default", "function": "hello"}
    assert registry.value("kubelambda_errors_total", names) is None
    assert series.of("default", "hello").value == 0


def test_two_metrics_have_two_names() -> None:
    """Prometheus would refuse all of the text."""
    registry = MetricRegistry()
    GaugeSeries("kubelambda_lag", "Lag", [], registry)
    with pytest.raises(ValueError, match="two metrics kubelambda_lag"):
        CounterSeries("kubelambda_lag", "Lag", [], registry)


def test_what_cannot_be_looked_up_is_left_out() -> None:
    """The other metrics are still shown."""

    def gone() -> float:
        raise FileNotFoundError

    registry = MetricRegistry()
    LookedSeries("kubelambda_gone", "Gone", registry).follow(gone)
    GaugeSeries("kubelambda_lag", "Lag", [], registry)
    assert registry.text().decode().splitlines()[-1] == "kubelambda_lag 0.0"
    assert registry.value("kubelambda_gone", {}) is None
