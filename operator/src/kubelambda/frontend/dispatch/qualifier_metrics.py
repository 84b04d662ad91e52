"""Invocations by the qualifier that callers named and the version that ran (§9.3)."""

from collections import defaultdict
from collections.abc import Collection

from prometheus_client import CollectorRegistry

from kubelambda.frontend.dispatch.counter_series import CounterSeries

_LABELS = ["namespace", "function", "qualifier", "version"]


class QualifierMetrics:
    """Counts for every alias and version that was called by its name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.invocations = CounterSeries(
            "kubelambda_qualifier_invocations_total",
            "Invocations by the alias or version that was called, and the version that ran",
            _LABELS,
            registry,
        )
        self.errors = CounterSeries(
            "kubelambda_qualifier_errors_total",
            "Those that ended with a function error",
            _LABELS,
            registry,
        )
        self._shown: defaultdict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)

    def ran(self, function: tuple[str, str], qualifier: str, version: str, *, error: bool) -> None:
        """An invocation was answered by the function's code, or in its place."""
        self._shown[function].add((qualifier, version))
        self.invocations.of(*function, qualifier, version).value += 1
        if error:
            self.errors.of(*function, qualifier, version).value += 1

    def keep(self, function: tuple[str, str], qualifiers: Collection[str]) -> None:
        """Drops the series of every other qualifier of a function."""
        for qualifier, version in [each for each in self._shown.get(function, ()) if each[0] not in qualifiers]:
            self._shown[function].discard((qualifier, version))
            for series in (self.invocations, self.errors):
                series.remove(*function, qualifier, version)
        if not self._shown.get(function):
            self._shown.pop(function, None)
