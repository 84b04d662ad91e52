"""Lambda's metrics of provisioned concurrency, by alias or version (§9.3); their series go with it.

What is counted says too which version ran: an alias with weights, or one that moves, has two.
"""

import contextlib
from collections.abc import Collection
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Gauge

from kubelambda.frontend.dispatch.counter_series import CounterSeries

_LABELS = ["namespace", "function", "qualifier"]

type Series = tuple[str, str, str]
"""Namespace, function and qualifier."""


@dataclass(frozen=True, slots=True)
class ProvisionedLook:
    """The provisioned concurrency of a qualifier as it was since the last look."""

    allocated: int
    available: int
    """Initialized environments."""
    executing: float
    """Invocations that held a unit of it, on the average."""


class ProvisionedMetrics:
    """The series of every qualifier that has provisioned concurrency."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.utilization = Gauge(
            "kubelambda_provisioned_concurrency_utilization",
            "Share of the provisioned concurrency in use",
            _LABELS,
            registry=registry,
        )
        self.allocated = Gauge(
            "kubelambda_provisioned_concurrency_allocated", "Provisioned concurrency", _LABELS, registry=registry
        )
        self.available = Gauge(
            "kubelambda_provisioned_concurrency_available",
            "Initialized provisioned environments",
            _LABELS,
            registry=registry,
        )
        self.executing = Gauge(
            "kubelambda_provisioned_concurrency_executing",
            "Invocations that hold provisioned concurrency",
            _LABELS,
            registry=registry,
        )
        self.invocations = CounterSeries(
            "kubelambda_provisioned_invocations_total",
            "Invocations that ran on provisioned environments",
            [*_LABELS, "version"],
            registry,
        )
        self.spillovers = CounterSeries(
            "kubelambda_spillover_invocations_total",
            "Invocations of a qualifier with provisioned concurrency that ran on demand",
            [*_LABELS, "version"],
            registry,
        )
        self._gauges = (self.utilization, self.allocated, self.available, self.executing)
        self._shown: dict[Series, set[str]] = {}
        """The versions that are counted."""

    def dispatched(self, series: Series, version: str, *, provisioned: bool, count: int) -> None:
        """Invocations were given environments of a version, provisioned ones or ones on demand."""
        self._shown.setdefault(series, set()).add(version)
        (self.invocations if provisioned else self.spillovers).of(*series, version).value += count

    def show(self, series: Series, look: ProvisionedLook, versions: Collection[str]) -> None:
        """What a look found. `versions` are those that run: the counters of others go."""
        counted = self._shown.setdefault(series, set())
        for version in counted.difference(versions):
            self._forget(series, version)
        counted &= set(versions)
        self.allocated.labels(*series).set(look.allocated)
        self.available.labels(*series).set(look.available)
        self.executing.labels(*series).set(look.executing)
        self.utilization.labels(*series).set(look.executing / look.allocated if look.allocated else 0.0)
        for version in versions:
            counted.add(version)
            for counter in (self.invocations, self.spillovers):
                counter.of(*series, version)  # one that never counted is 0, not absent

    def keep(self, present: set[Series]) -> None:
        """Drops the series of what has no provisioned concurrency any more, or belongs to another frontend."""
        for series in self._shown.keys() - present:
            for gauge in self._gauges:
                with contextlib.suppress(KeyError):
                    gauge.remove(*series)
            for version in self._shown.pop(series):
                self._forget(series, version)

    def _forget(self, series: Series, version: str) -> None:
        for counter in (self.invocations, self.spillovers):
            counter.remove(*series, version)


class AccountMetrics:
    """Concurrency of the accounts that this frontend owns."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.unreserved = Gauge(
            "kubelambda_unreserved_concurrent_executions",
            "Invocations in flight of functions without a reservation",
            ["namespace"],
            registry=registry,
        )
        self.claimed = Gauge(
            "kubelambda_claimed_account_concurrency",
            "Concurrency that no other function can have: reserved, provisioned, or in flight",
            ["namespace"],
            registry=registry,
        )
        self._shown: set[str] = set()

    def show(self, namespace: str, *, unreserved: int, claimed: int) -> None:
        """What an account's ledger says."""
        self._shown.add(namespace)
        self.unreserved.labels(namespace).set(unreserved)
        self.claimed.labels(namespace).set(claimed)

    def keep(self, present: set[str]) -> None:
        """Drops the series of accounts that are another frontend's."""
        for namespace in self._shown - present:
            for gauge in (self.unreserved, self.claimed):
                gauge.remove(namespace)
        self._shown &= present
