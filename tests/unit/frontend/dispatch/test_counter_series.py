"""What is counted at every invocation looks to Prometheus as if prometheus-client had counted it."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from kubelambda.frontend.dispatch.counter_series import CounterSeries, HistogramSeries

LABELS = ["namespace", "function"]
BOUNDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10)
NAMES = st.tuples(st.sampled_from(["default", 'odd"name\n']), st.sampled_from(["hello", "bye"]))
SECONDS = st.one_of(st.sampled_from(BOUNDS), st.floats(0, 20, allow_nan=False).map(lambda found: round(found, 4)))


@pytest.fixture(autouse=True)
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Series say when they were created."""
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.25)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(NAMES, SECONDS)), st.lists(NAMES, max_size=2))
def test_the_text_is_that_of_prometheus_client(
    samples: list[tuple[tuple[str, str], float]], gone: list[tuple[str, str]]
) -> None:
    """The same names, labels, values and order, of series that were removed too."""
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    counter = Counter("kubelambda_invocations_total", "Invocations that ran", LABELS, registry=theirs)
    histogram = Histogram("kubelambda_duration_seconds", "Time", LABELS, buckets=BOUNDS, registry=theirs)
    counts = CounterSeries("kubelambda_invocations_total", "Invocations that ran", LABELS, ours)
    distributions = HistogramSeries("kubelambda_duration_seconds", "Time", LABELS, BOUNDS, ours)
    for names, seconds in samples:
        counter.labels(*names).inc(seconds)
        counts.of(*names).value += seconds
        histogram.labels(*names).observe(seconds)
        distributions.of(*names).add(seconds)
    for names in set(gone) & {names for names, _ in samples}:
        counter.remove(*names)
        counts.remove(*names)
        histogram.remove(*names)
        distributions.remove(*names)
    assert generate_latest(ours) == generate_latest(theirs)


def test_one_family_can_be_asked_for() -> None:
    """As `/metrics?name[]=…` does, of a counter and of a histogram."""
    registry = CollectorRegistry()
    CounterSeries("kubelambda_errors_total", "Errors", LABELS, registry).of("default", "hello").value += 2
    HistogramSeries("kubelambda_duration_seconds", "Time", LABELS, BOUNDS, registry).of("default", "hello").add(3)
    assert registry.get_sample_value("kubelambda_errors_total", {"namespace": "default", "function": "hello"}) == 2
    found = registry.restricted_registry(["kubelambda_duration_seconds_sum"])
    assert [family.samples[0].value for family in found.collect()] == [3]


def test_a_series_that_was_removed_begins_again_at_nothing() -> None:
    """Whoever still counts in it changes nothing that is shown."""
    registry = CollectorRegistry()
    series = CounterSeries("kubelambda_errors_total", "Errors", LABELS, registry)
    former = series.of("default", "hello")
    former.value += 1
    series.remove("default", "hello")
    former.value += 1
    names = {"namespace": "default", "function": "hello"}
    assert registry.get_sample_value("kubelambda_errors_total", names) is None
    assert series.of("default", "hello").value == 0
