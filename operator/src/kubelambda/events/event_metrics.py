"""Lambda's metrics of asynchronous invocation, by their names (§6.4, §9.3)."""

import shutil
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

_LABELS = ["namespace", "function"]
_AGES = (0.005, 0.05, 0.5, 5, 60, 600, 3600)


class EventMetrics:
    """All metrics of the event queue."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self._received = Counter(
            "kubelambda_async_events_received_total", "Events that were accepted", _LABELS, registry=registry
        )
        self._dropped = Counter(
            "kubelambda_async_events_dropped_total",
            "Events that were given up without a destination",
            [*_LABELS, "condition"],
            registry=registry,
        )
        self._failures = Counter(
            "kubelambda_destination_delivery_failures_total",
            "Attempts to deliver a record that its destination did not take",
            _LABELS,
            registry=registry,
        )
        self._dead_letter_errors = Counter(
            "kubelambda_dead_letter_errors_total",
            "Attempts to deliver an event that its dead-letter queue did not take",
            _LABELS,
            registry=registry,
        )
        self._recursions = Counter(
            "kubelambda_recursive_events_dropped_total",
            "Events that ended because their chain of invocations came back too often",
            _LABELS,
            registry=registry,
        )
        self._ages = Histogram(
            "kubelambda_async_event_age_seconds",
            "Age of events when they are tried",
            _LABELS,
            buckets=_AGES,
            registry=registry,
        )
        self._waiting = Gauge("kubelambda_async_events_waiting", "Events in the queue", _LABELS, registry=registry)
        self._lags = Gauge(
            "kubelambda_async_event_lag_seconds",
            "For how long the first event that is due has waited to be tried",
            _LABELS,
            registry=registry,
        )
        self._refused = Counter(
            "kubelambda_async_events_refused_total",
            "Events that could not be kept, and got no 202",
            registry=registry,
        )
        self._disk = Gauge(
            "kubelambda_event_queue_disk_bytes", "The volume of the queue's file", ["part"], registry=registry
        )
        self._known: set[tuple[str, str]] = set()

    def received(self, namespace: str, function: str) -> None:
        """An event was accepted."""
        self._received.labels(namespace, function).inc()

    def dropped(self, namespace: str, function: str, condition: str) -> None:
        """An event was given up, and nobody is told."""
        self._dropped.labels(namespace, function, condition).inc()

    def not_told(self, namespace: str, function: str, *, dead_letter: bool) -> None:
        """A destination did not take a record, or a dead-letter queue an event."""
        (self._dead_letter_errors if dead_letter else self._failures).labels(namespace, function).inc()

    def recursion_dropped(self, namespace: str, function: str) -> None:
        """An event ended because its chain came back too often."""
        self._recursions.labels(namespace, function).inc()

    def age(self, namespace: str, function: str, seconds: float) -> None:
        """An event is tried."""
        self._ages.labels(namespace, function).observe(seconds)

    def refused(self) -> None:
        """An event could not be kept."""
        self._refused.inc()

    def watch_disk(self, file: Path) -> None:
        """Looks at the volume of a queue's file whenever somebody asks."""
        for part in ("total", "free"):
            self._disk.labels(part).set_function(partial(_disk, file.parent, part))

    def waiting(self, counts: Mapping[tuple[str, str], int], lags: Mapping[tuple[str, str], float]) -> None:
        """How many events wait, and for how many seconds the first that is due has."""
        for function, count in counts.items():
            self._waiting.labels(*function).set(count)
            self._lags.labels(*function).set(lags.get(function, 0.0))
        for function in self._known - counts.keys():
            self._waiting.remove(*function)
            self._lags.remove(*function)
        self._known = set(counts)

    def serve(self, port: int) -> tuple[WSGIServer, threading.Thread]:
        """Serves /metrics from a thread of its own."""
        return start_http_server(port, registry=self.registry)


def _disk(folder: Path, part: str) -> float:
    return float(getattr(shutil.disk_usage(folder), part))
