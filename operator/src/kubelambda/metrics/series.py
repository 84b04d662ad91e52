"""Counters, gauges and histograms as plain numbers, rendered when somebody asks.

They are changed by the event loop alone, without a lock; the thread that renders them may see a sample half counted.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from kubelambda.metrics import metrics_text
from kubelambda.metrics.metric_registry import MetricRegistry
from kubelambda.metrics.metrics_text import Labels


class Count:
    """One series of a counter. Whoever counts adds to `value`."""

    __slots__ = ("created", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.created = time.time()

    def once(self) -> None:
        """Counts one."""
        self.value += 1


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


class CounterSeries:
    """A counter by its labels. One without labels is there from the start."""

    kind = "counter"

    def __init__(self, name: str, documentation: str, labels: Sequence[str], registry: MetricRegistry) -> None:
        self.name = name
        self.documentation = documentation
        self._labels = labels
        self._series: dict[tuple[str, ...], Count] = {}
        if not labels:
            self.of()
        registry.add(self)

    def of(self, *labels: str) -> Count:
        """The series of these values of the labels, which is there from now on."""
        found = self._series.get(labels)
        if found is None:
            found = self._series[labels] = Count()
        return found

    def remove(self, *labels: str) -> None:
        """Shows a series no more, if there was one."""
        self._series.pop(labels, None)

    def samples(self) -> Iterator[tuple[str, Labels, float]]:
        """Each series as it is now."""
        for values, count in list(self._series.items()):
            yield self.name, zip(self._labels, values, strict=True), count.value

    def births(self) -> Iterator[tuple[Labels, float]]:
        """When each series was made."""
        for values, count in list(self._series.items()):
            yield zip(self._labels, values, strict=True), count.created


class GaugeSeries:
    """A gauge by its labels. One without labels is 0 at the start."""

    kind = "gauge"

    def __init__(self, name: str, documentation: str, labels: Sequence[str], registry: MetricRegistry) -> None:
        self.name = name
        self.documentation = documentation
        self._labels = labels
        self._series: dict[tuple[str, ...], float] = {}
        if not labels:
            self.set(0)
        registry.add(self)

    def set(self, value: float, *labels: str) -> None:
        """The series of these values of the labels shows `value` from now on."""
        self._series[labels] = value

    def remove(self, *labels: str) -> None:
        """Shows a series no more, if there was one."""
        self._series.pop(labels, None)

    def clear(self) -> None:
        """Shows no series."""
        self._series.clear()

    def samples(self) -> Iterator[tuple[str, Labels, float]]:
        """Each series as it is now."""
        for values, value in list(self._series.items()):
            yield self.name, zip(self._labels, values, strict=True), value

    def births(self) -> Iterator[tuple[Labels, float]]:
        """A gauge does not say."""
        return iter(())


class LookedSeries:
    """A metric that is looked up whenever somebody asks. `look` may be called in any thread."""

    def __init__(self, name: str, documentation: str, registry: MetricRegistry, *, kind: str = "gauge") -> None:
        self.name = name
        self.documentation = documentation
        self.kind = kind
        self._looks: list[tuple[dict[str, str], Callable[[], float]]] = []
        registry.add(self)

    def follow(self, look: Callable[[], float], **labels: str) -> None:
        """Has a series of these labels. What `look` raises as an `OSError` leaves it out."""
        self._looks.append((labels, look))

    def samples(self) -> Iterator[tuple[str, Labels, float]]:
        """Each series as it is now."""
        for labels, look in self._looks:
            try:
                value = look()
            except OSError:
                continue
            yield self.name, labels.items(), value

    def births(self) -> Iterator[tuple[Labels, float]]:
        """Nobody knows."""
        return iter(())


class HistogramSeries:
    """A histogram by its labels."""

    kind = "histogram"

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], bounds: Sequence[float], registry: MetricRegistry
    ) -> None:
        self.name = name
        self.documentation = documentation
        self._labels = labels
        self._bounds = bounds
        self._bound_names = [metrics_text.number(bound) for bound in (*bounds, float("inf"))]
        self._series: dict[tuple[str, ...], Distribution] = {}
        registry.add(self)

    def of(self, *labels: str) -> Distribution:
        """The series of these values of the labels, which is there from now on."""
        found = self._series.get(labels)
        if found is None:
            found = self._series[labels] = Distribution(self._bounds)
        return found

    def remove(self, *labels: str) -> None:
        """Shows a series no more, if there was one."""
        self._series.pop(labels, None)

    def samples(self) -> Iterator[tuple[str, Labels, float]]:
        """Buckets, number and sum of each series as it is now."""
        for values, found in list(self._series.items()):
            labels = list(zip(self._labels, values, strict=True))
            counts = list(accumulate(found.buckets))
            for bound, count in zip(self._bound_names, counts, strict=True):
                yield f"{self.name}_bucket", [*labels, ("le", bound)], count
            yield f"{self.name}_count", labels, counts[-1]
            yield f"{self.name}_sum", labels, found.total

    def births(self) -> Iterator[tuple[Labels, float]]:
        """When each series was made."""
        for values, found in list(self._series.items()):
            yield zip(self._labels, values, strict=True), found.created
