"""Invocations by the qualifier that callers named and the version that ran (§9.3)."""

import contextlib
from collections import defaultdict
from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter

_LABELS = ["namespace", "function", "qualifier", "version"]


class QualifierMetrics:
    """Counts for every alias and version that was called by its name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.invocations = Counter(
            "kubelambda_qualifier_invocations_total",
            "Invocations by the alias or version that was called, and the version that ran",
            _LABELS,
            registry=registry,
        )
        self.errors = Counter(
            "kubelambda_qualifier_errors_total",
            "Those that ended with a function error",
            _LABELS,
            registry=registry,
        )
        self._shown: defaultdict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)

    def ran(self, function: tuple[str, str], qualifier: str, version: str, *, error: bool) -> None:
        """An invocation was answered by the function's code, or in its place."""
        self._shown[function].add((qualifier, version))
        self.invocations.labels(*function, qualifier, version).inc()
        if error:
            self.errors.labels(*function, qualifier, version).inc()

    def keep(self, function: tuple[str, str], qualifiers: Collection[str]) -> None:
        """Drops the series of every other qualifier of a function."""
        for qualifier, version in [each for each in self._shown.get(function, ()) if each[0] not in qualifiers]:
            self._shown[function].discard((qualifier, version))
            for metric in (self.invocations, self.errors):
                with contextlib.suppress(KeyError):
                    metric.remove(*function, qualifier, version)
        if not self._shown.get(function):
            self._shown.pop(function, None)
