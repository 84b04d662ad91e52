"""Pollers that a mapping is to have in advance, and what they are worth here (§7.1.10, §7.3.6, §7.5.3)."""

from dataclasses import dataclass
from typing import Final

from kubelambda.api import limits
from kubelambda.api.kinds.event_source_mapping import EventSourceMappingSpec
from kubelambda.core.mapping.mapping_source import source_of
from kubelambda.core.mapping.record_filter import SourceFormat

_BATCHES_OF_POLLER: Final = 5


@dataclass(frozen=True, slots=True)
class ProvisionedPollers:
    """How many there may be."""

    minimum: int
    maximum: int

    @property
    def topic_batches(self) -> int:
        """Of Kafka: batches that may be at the function at once."""
        return self.maximum * _BATCHES_OF_POLLER

    def of_partitions(self, partitions: int) -> int:
        """Of Kafka: how many pollers work so many partitions."""
        return min(self.maximum, max(self.minimum, -(-partitions // _BATCHES_OF_POLLER)))


def provisioned_pollers(spec: EventSourceMappingSpec) -> ProvisionedPollers | None:
    """Those of a mapping; None when it has none in advance."""
    config = spec.provisioned_poller_config
    if config is None:
        return None
    queue = source_of(spec).format is SourceFormat.SQS
    least = limits.POLLERS_LEAST_OF_QUEUE if queue else limits.POLLERS_LEAST_OF_TOPIC
    minimum = least if config.minimum_pollers is None else config.minimum_pollers
    return ProvisionedPollers(minimum, config.maximum_pollers or limits.POLLERS_MOST)
