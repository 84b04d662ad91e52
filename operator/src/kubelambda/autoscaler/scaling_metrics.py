"""What the scaler and the status of an alias say of its provisioned concurrency, for alerts."""

from kubelambda.autoscaler.utilization import ScalableTarget
from kubelambda.metrics.metric_registry import MetricRegistry
from kubelambda.metrics.series import GaugeSeries

_LABELS = ["namespace", "function", "qualifier"]


class ScalingMetrics:
    """Gauges of every alias that has provisioned concurrency, as of the last evaluation."""

    def __init__(self, registry: MetricRegistry) -> None:
        self._requested = GaugeSeries(
            "kubelambda_provisioned_concurrency_requested",
            "Provisioned concurrency that an alias asks for",
            _LABELS,
            registry,
        )
        self._failed = GaugeSeries(
            "kubelambda_provisioned_concurrency_failed",
            "Whether an alias does not get the provisioned concurrency that it asks for",
            _LABELS,
            registry,
        )
        self._active = GaugeSeries(
            "kubelambda_scaling_active",
            "Whether the capacity of an alias follows its utilization and schedules: 0 is frozen",
            _LABELS,
            registry,
        )
        self._shown: dict[GaugeSeries, set[ScalableTarget]] = {
            self._requested: set(),
            self._failed: set(),
            self._active: set(),
        }
        self._seen: dict[GaugeSeries, set[ScalableTarget]] = {}

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

    def _set(self, gauge: GaugeSeries, target: ScalableTarget, value: float) -> None:
        gauge.set(value, *target)
        self._seen[gauge].add(target)
        self._shown[gauge].add(target)
