"""Lambda's metrics of event source mappings, by their names (§7.1.11)."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

_LABELS = ["namespace", "mapping"]


class PollerMetrics:
    """All metrics of a poller."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._events = Counter(
            "kubelambda_mapping_events_total",
            "Records by what became of them: polled, filtered_out, invoked, failed_invoke, deleted, dropped, "
            "committed, on_failure_delivered or on_failure_failed",
            [*_LABELS, "what"],
            registry=self.registry,
        )
        self._throttles = Counter(
            "kubelambda_mapping_throttles_total",
            "Batches that a frontend turned down, each time",
            _LABELS,
            registry=self.registry,
        )
        self._lag = Gauge("kubelambda_mapping_lag", "Messages that wait in the source", _LABELS, registry=self.registry)
        self._lag_most = Gauge(
            "kubelambda_mapping_partition_lag_max",
            "Records of Kafka that wait in the partition where most do",
            _LABELS,
            registry=self.registry,
        )
        self._slots = Gauge(
            "kubelambda_mapping_slots", "Batches that may be in work at once", _LABELS, registry=self.registry
        )
        self._provisioned = Gauge(
            "kubelambda_mapping_provisioned_pollers",
            "Pollers of a mapping with a provisionedPollerConfig",
            _LABELS,
            registry=self.registry,
        )
        self._room_waits = Gauge(
            "kubelambda_mapping_memory_waits",
            "Batches that wait because those of their account hold the memory that it may have in this poller",
            _LABELS,
            registry=self.registry,
        )
        self._iterator_age = Gauge(
            "kubelambda_mapping_iterator_age_milliseconds",
            "Age of the last record of the batch that the function got last",
            _LABELS,
            registry=self.registry,
        )

    def events(self, namespace: str, mapping: str, what: str, count: int) -> None:
        """`count` records came to something."""
        if count:
            self._events.labels(namespace, mapping, what).inc(count)

    def throttled(self, namespace: str, mapping: str) -> None:
        """A batch was turned down."""
        self._throttles.labels(namespace, mapping).inc()

    def lag(self, namespace: str, mapping: str, waiting: int) -> None:
        """Messages wait."""
        self._lag.labels(namespace, mapping).set(waiting)

    def partition_lag(self, namespace: str, mapping: str, most: int) -> None:
        """Records wait in one partition."""
        self._lag_most.labels(namespace, mapping).set(most)

    def iterator_age(self, namespace: str, mapping: str, milliseconds: float) -> None:
        """Age of the last record of a batch."""
        self._iterator_age.labels(namespace, mapping).set(milliseconds)

    def slots(self, namespace: str, mapping: str, count: int) -> None:
        """Slots of a mapping."""
        self._slots.labels(namespace, mapping).set(count)

    def provisioned(self, namespace: str, mapping: str, count: int) -> None:
        """Pollers of a mapping that has them in advance."""
        self._provisioned.labels(namespace, mapping).set(count)

    def room_waits(self, namespace: str, mapping: str, count: int) -> None:
        """Batches of a mapping wait for memory."""
        self._room_waits.labels(namespace, mapping).set(count)

    def ended(self, namespace: str, mapping: str) -> None:
        """A mapping is not served any more."""
        gauges = (self._lag, self._lag_most, self._slots, self._provisioned, self._room_waits, self._iterator_age)
        for gauge in gauges:
            gauge.labels(namespace, mapping)
            gauge.remove(namespace, mapping)

    def page(self) -> bytes:
        """What /metrics answers."""
        return generate_latest(self.registry)
