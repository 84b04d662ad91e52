"""Counters and histograms as plain numbers, for what is counted at every invocation: rendered when somebody asks.

The counters of prometheus-client take a lock and several calls for each sample. These are changed by the event loop
alone; the thread that renders them may see a sample half counted, as it may with those.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Count:
    """One series of a counter. Whoever counts adds to `value`."""

    __slots__ = ("created", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.created = time.time()


class Distribution:
    """One series of a histogram."""

    __slots__ = ("_bounds", "buckets", "created", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        """Samples up to each bound and above the one before; the last ones are above every bound."""
        self.total = 0.0
        self.created = time.time()

    def add(self, sample: float) -> None:
        """Counts a sample."""
        self.buckets[bisect_left(self._bounds, sample)] += 1
        self.total += sample


class CounterSeries(Collector):
    """A counter by its labels, with the names and values that a Counter of prometheus-client would have."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._form = (name, documentation, labels)
        self._series: dict[tuple[str, ...], Count] = {}
        registry.register(self)

    def of(self, *labels: str) -> Count:
        """The series of these values of the labels, which is there from now on."""
        found = self._series.get(labels)
        if found is None:
            found = self._series[labels] = Count()
        return found

    def remove(self, *labels: str) -> None:
        """Shows a series no more, if there was one."""
        self._series.pop(labels, None)

    def describe(self) -> Iterable[Metric]:
        """The family without its series."""
        name, documentation, labels = self._form
        return [CounterMetricFamily(name, documentation, labels=labels)]

    def collect(self) -> Iterator[Metric]:
        """The family as it is now."""
        name, documentation, labels = self._form
        family = CounterMetricFamily(name, documentation, labels=labels)
        for values, count in list(self._series.items()):
            family.add_metric(values, count.value, count.created)
        yield family


class HistogramSeries(Collector):
    """A histogram by its labels, with the names and values that a Histogram of prometheus-client would have."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._form = (name, documentation, labels)
        self._bounds = bounds
        self._bound_names = [floatToGoString(bound) for bound in (*bounds, float("inf"))]  # type: ignore[no-untyped-call]
        self._series: dict[tuple[str, ...], Distribution] = {}
        registry.register(self)

    def of(self, *labels: str) -> Distribution:
        """The series of these values of the labels, which is there from now on."""
        found = self._series.get(labels)
        if found is None:
            found = self._series[labels] = Distribution(self._bounds)
        return found

    def remove(self, *labels: str) -> None:
        """Shows a series no more, if there was one."""
        self._series.pop(labels, None)

    def describe(self) -> Iterable[Metric]:
        """The family without its series."""
        name, documentation, labels = self._form
        return [HistogramMetricFamily(name, documentation, labels=labels)]

    def collect(self) -> Iterator[Metric]:
        """The family as it is now."""
        name, documentation, labels = self._form
        family = HistogramMetricFamily(name, documentation, labels=labels)
        for values, found in list(self._series.items()):
            buckets = list(zip(self._bound_names, accumulate(found.buckets), strict=True))
            family.add_metric(values, buckets, found.total)
            family.add_sample(f"{name}_created", dict(zip(labels, values, strict=True)), found.created)
        yield family
