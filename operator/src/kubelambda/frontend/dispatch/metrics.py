"""Lambda's metrics by their names, with bounded labels; rendered in a thread."""

import contextlib
import threading
from collections.abc import Iterable
from functools import partial
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from kubelambda.api import environment_protocol
from kubelambda.api.environment_protocol import EnvironmentState
from kubelambda.core.invoke.routing import LATEST
from kubelambda.core.placement.function_share import ThrottleReason
from kubelambda.frontend.dispatch.counter_series import CounterSeries, HistogramSeries
from kubelambda.frontend.dispatch.invocation import Invocation
from kubelambda.frontend.dispatch.provisioned_metrics import AccountMetrics, ProvisionedMetrics
from kubelambda.frontend.dispatch.qualifier_metrics import QualifierMetrics
from kubelambda.kube.reflector import Reflector

_LABELS = ["namespace", "function"]
_BILLED_MS = environment_protocol.BILLED_MS.lower().encode()
_FUNCTION_ERROR = environment_protocol.FUNCTION_ERROR.lower().encode()
_DURATIONS = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10)


def _unreadable(reflector: Reflector[Any]) -> float:
    return len(reflector.unreadable)


class FunctionMetrics:
    """One function's series, looked up once."""

    def __init__(self, metrics: "Metrics", namespace: str, function: str) -> None:
        self._metrics = metrics
        self._names = (namespace, function)
        self._gone = False
        self._invocations = metrics.invocations.of(namespace, function)
        self._errors = metrics.errors.of(namespace, function)
        self._durations = metrics.durations.of(namespace, function)
        self._cold_starts = metrics.cold_starts.of(namespace, function)
        self._billed_gb_seconds = metrics.billed_gb_seconds.of(namespace, function)

    def started(self) -> None:
        """Counts a cold start."""
        self._cold_starts.value += 1

    def throttled(self, reason: str) -> None:
        """Counts a 429."""
        if not self._gone:
            self._metrics.throttles.of(*self._names, reason).value += 1

    def ran(self, qualifier: str, version: str, *, error: bool) -> None:
        """Counts an invocation that was answered, whoever worded the answer."""
        self._invocations.value += 1
        if error:
            self._errors.value += 1
        if qualifier != LATEST and not self._gone:
            self._metrics.qualifiers.ran(self._names, qualifier, version, error=error)

    def answered(self, invocation: Invocation, headers: dict[bytes, bytes], memory_size: int, now: float) -> None:
        """Counts what an environment of so many MB has answered."""
        self._durations.add(now - invocation.started)
        self.ran(invocation.qualifier, invocation.version, error=_FUNCTION_ERROR in headers)
        self._billed_gb_seconds.value += int(headers.get(_BILLED_MS, b"0")) * memory_size / 1_024_000

    def went_on(self, state: EnvironmentState, billed_ms: int, memory_size: int) -> None:
        """Counts what came after an answer that said that `billed_ms` are billed: the work of extensions."""
        self._billed_gb_seconds.value += max(0, state.last_billed_ms - billed_ms) * memory_size / 1_024_000
        if not self._gone:
            self._metrics.extensions.of(*self._names).add(state.last_extensions_ms / 1000)

    def dispatched(self, qualifier: str, version: str, *, provisioned: bool, count: int = 1) -> None:
        """Counts invocations of a qualifier that has provisioned concurrency, by the version that ran."""
        if not self._gone:
            series = (*self._names, qualifier)
            self._metrics.provisioned.dispatched(series, version, provisioned=provisioned, count=count)

    def show_in_flight(self, in_flight: int) -> None:
        """Invocations of the function that are in flight by this frontend."""
        if not self._gone:
            self._metrics.concurrent.labels(*self._names).set(in_flight)

    def show(self, in_flight: int, environments: int) -> None:
        """How the function is now, by whoever owns it."""
        self.show_in_flight(in_flight)
        if not self._gone:
            self._metrics.environments.labels(*self._names).set(environments)

    def remove(self) -> None:
        """Forgets the series of a function that is gone."""
        self._gone = True
        self._metrics.forget(*self._names)

    def remove_gauges(self) -> None:
        """Says no more what the function does now: another frontend does."""
        self._metrics.forget_gauges(*self._names)


class Metrics:
    """All metrics of a frontend."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.invocations = CounterSeries("kubelambda_invocations_total", "Invocations that ran", _LABELS, registry)
        self.errors = CounterSeries("kubelambda_errors_total", "Invocations with a function error", _LABELS, registry)
        self.throttles = CounterSeries(
            "kubelambda_throttles_total", "Throttled invocations", [*_LABELS, "reason"], registry
        )
        self.durations = HistogramSeries(
            "kubelambda_duration_seconds", "Time of an invocation", _LABELS, _DURATIONS, registry
        )
        self.extensions = HistogramSeries(
            "kubelambda_post_runtime_extensions_duration_seconds",
            "Time that extensions took after the answer of an invocation",
            _LABELS,
            _DURATIONS,
            registry,
        )
        self.concurrent = Gauge("kubelambda_concurrent_executions", "Invocations in flight", _LABELS, registry=registry)
        self.cold_starts = CounterSeries("kubelambda_cold_starts_total", "Environments started", _LABELS, registry)
        self.environments = Gauge("kubelambda_environments", "Environments", _LABELS, registry=registry)
        self.billed_gb_seconds = CounterSeries(
            "kubelambda_billed_gb_seconds_total", "Memory times billed duration", _LABELS, registry
        )
        self.unreadable = Gauge(
            "kubelambda_unreadable_objects", "Objects that cannot be read and are skipped", ["kind"], registry=registry
        )
        self.forwards = Counter(
            "kubelambda_forwards_total", "Requests passed to the owning frontend", registry=registry
        )
        self.ledger_drift = Gauge(
            "kubelambda_ledger_drift",
            "Environments and units of concurrency on which ledger and agents differ: anything but 0 is a bug",
            registry=registry,
        )
        self.reconciliations = Counter(
            "kubelambda_ledger_reconciliations_total", "Comparisons of the ledger with the agents", registry=registry
        )
        self.recursive_invocations_dropped = CounterSeries(
            "kubelambda_recursive_invocations_dropped_total",
            "Invocations that were refused because their chain came back too often",
            _LABELS,
            registry,
        )
        self.provisioned = ProvisionedMetrics(registry)
        self.accounts = AccountMetrics(registry)
        self.qualifiers = QualifierMetrics(registry)
        self._counters = (
            self.invocations,
            self.errors,
            self.durations,
            self.extensions,
            self.cold_starts,
            self.billed_gb_seconds,
            self.recursive_invocations_dropped,
        )

    def watch_unreadable(self, reflectors: Iterable[Reflector[Any]]) -> None:
        """Counts what the caches skip, whenever somebody asks."""
        for reflector in reflectors:
            self.unreadable.labels(reflector.resource.kind).set_function(partial(_unreadable, reflector))

    def function(self, namespace: str, function: str) -> FunctionMetrics:
        """The series of one function."""
        return FunctionMetrics(self, namespace, function)

    def forget(self, namespace: str, function: str) -> None:
        """Drops the series of a function that is gone."""
        self.forget_gauges(namespace, function)
        self.qualifiers.keep((namespace, function), ())
        for series in self._counters:
            series.remove(namespace, function)
        for reason in ThrottleReason:
            self.throttles.remove(namespace, function, reason.value)

    def forget_gauges(self, namespace: str, function: str) -> None:
        """Drops what says how a function is now."""
        for gauge in (self.concurrent, self.environments):
            with contextlib.suppress(KeyError):
                gauge.remove(namespace, function)

    def serve(self, port: int) -> tuple[WSGIServer, threading.Thread]:
        """Serves /metrics from a thread of its own."""
        return start_http_server(port, registry=self.registry)
