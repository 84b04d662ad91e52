"""What the scaler and the status of an alias say of its provisioned concurrency, for alerts."""

from prometheus_client import CollectorRegistry, Gauge

from kubelambda.autoscaler.utilization import ScalableTarget

_LABELS = ["namespace", "function", "qualifier"]


class ScalingMetrics:
    """Gauges of every alias that has provisioned concurrency, as of the last evaluation."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requested = Gauge(
            "kubelambda_provisioned_concurrency_requested",
            "Provisioned concurrency that an alias asks for",
            _LABELS,
            registry=registry,
        )
        self._failed = Gauge(
            "kubelambda_provisioned_concurrency_failed",
            "Whether an alias does not get the provisioned concurrency that it asks for",
            _LABELS,
            registry=registry,
        )
        self._active = Gauge(
            "kubelambda_scaling_active",
            "Whether the capacity of an alias follows its utilization and schedules: 0 is frozen",
            _LABELS,
            registry=registry,
        )
        self._shown: dict[Gauge, set[ScalableTarget]] = {
            self._requested: set(),
            self._failed: set(),
            self._active: set(),
        }
        self._seen: dict[Gauge, set[ScalableTarget]] = {}

    def begin(self) -> None:
        """An evaluation of all aliases begins."""
        self._seen = {gauge: set() for gauge in self._shown}

    def provisioned(self, target: ScalableTarget, *, requested: int, failed: bool) -> None:
        """What the status of an alias says."""
        self._set(self._requested, target, requested)
        self._set(self._failed, target, failed)

    def scaling(self, target: ScalableTarget, *, active: bool) -> None:
        """What the scaler made of an alias that scales."""
        self._set(self._active, target, active)

    def end(self) -> None:
        """Every alias was seen: the series of all others go."""
        for gauge, shown in self._shown.items():
            for target in shown - self._seen[gauge]:
                gauge.remove(*target)
            self._shown[gauge] = self._seen[gauge]

    def _set(self, gauge: Gauge, target: ScalableTarget, value: float) -> None:
        gauge.labels(*target).set(value)
        self._seen[gauge].add(target)
        self._shown[gauge].add(target)
