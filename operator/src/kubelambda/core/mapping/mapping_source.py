"""What a mapping says of its source: which kind of source it is, and what holds for that kind (§7.1)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kubelambda.api.kinds.event_source_mapping import EventSourceMappingSpec
from kubelambda.core.mapping.record_filter import SourceFormat

_PARTITION: Final = r"arn:[a-zA-Z0-9-]+"
_PLACE: Final = r"[a-z0-9-]+:[0-9]{12}"
_SOURCES: Final = (
    (SourceFormat.SQS, re.compile(rf"{_PARTITION}:sqs:{_PLACE}:(?P<name>.+)")),
    (SourceFormat.KINESIS, re.compile(rf"{_PARTITION}:kinesis:{_PLACE}:stream/(?P<name>.+)")),
    (SourceFormat.DYNAMODB, re.compile(rf"{_PARTITION}:dynamodb:{_PLACE}:(?P<name>table/.+/stream/.+)")),
    (SourceFormat.KAFKA, re.compile(rf"{_PARTITION}:kafka:{_PLACE}:cluster/(?P<name>[^/]+)/.+")),
    (SourceFormat.MQ, re.compile(rf"{_PARTITION}:mq:{_PLACE}:broker:(?P<name>[^:]+):.+")),
)
STREAMS: Final = frozenset({SourceFormat.KINESIS, SourceFormat.DYNAMODB})
_BROKERED: Final = frozenset({SourceFormat.KAFKA, SourceFormat.MQ})
_BROKERED_WINDOW_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class MappingSource:
    """A source as a mapping names it."""

    format: SourceFormat
    arn: str
    """Empty for a cluster that no ARN names."""
    name: str
    """What the service itself calls it."""
    servers: tuple[str, ...] = ()
    """Addresses of brokers, of a cluster that no ARN names."""
    topics: tuple[str, ...] = ()
    """Of Kafka."""

    @property
    def is_stream(self) -> bool:
        """Whether it is read in order, shard by shard."""
        return self.format in STREAMS

    @property
    def is_brokered(self) -> bool:
        """Whether a broker says who may read it: then the mapping's state tells of that (§7.1.3)."""
        return self.format in _BROKERED

    @property
    def batch_size(self) -> int:
        """Records of one invocation, unless a mapping says otherwise."""
        return 10 if self.format is SourceFormat.SQS else 100

    @property
    def window_s(self) -> float:
        """Seconds for which records are gathered, unless a mapping says otherwise."""
        return _BROKERED_WINDOW_S if self.is_brokered else 0.0

    @property
    def user_reason(self) -> str:
        """Lambda's word for a state that somebody asked for (§7.1.3)."""
        return "User action" if self.is_stream else "USER_INITIATED"

    def duplicate(self, function: str, uuid: str) -> str:
        """Lambda's words for a second mapping of one source and function (§7.1.5)."""
        advice = f"already exists. Please update or delete the existing mapping with UUID {uuid}"
        if self.is_stream or (self.is_brokered and self.arn):
            return f'The event source arn (" {self.arn} ") and function (" {function} ") provided mapping {advice}'
        if self.is_brokered:
            servers, topics = ",".join(self.servers), ",".join(self.topics)
            return (
                f'An event source mapping with event source ("{servers}"), function ("{function}"), '
                f'topics ("{topics}") {advice}'
            )
        return f'An event source mapping with SQS arn (" {self.arn} ") and function (" {function} ") {advice}'


def mapping_source(arn: str, topics: tuple[str, ...] = ()) -> MappingSource:
    """The source of an ARN. Raises `ValueError` for one that no release knows."""
    for source, pattern in _SOURCES:
        found = pattern.fullmatch(arn)
        if found is not None:
            return MappingSource(source, arn, found["name"], topics=topics)
    raise ValueError(f"Unrecognized event source: {arn}")


def source_of(spec: EventSourceMappingSpec) -> MappingSource:
    """The source of a mapping. Raises `ValueError` for one that no release knows."""
    topics = tuple(spec.topics or ())
    if spec.self_managed_event_source is None:
        return mapping_source(spec.event_source_arn or "", topics)
    servers = tuple(spec.self_managed_event_source.endpoints.kafka_bootstrap_servers)
    return MappingSource(SourceFormat.KAFKA, "", servers[0], servers, topics)


def source_key(spec: Mapping[str, Any]) -> str:
    """Equal of mappings that read the same: one source and function have one mapping at most (§7.1.5)."""
    managed = spec.get("eventSourceArn")
    if managed is not None:
        hosts = (each["uri"] for each in spec.get("sourceAccessConfigurations", ()) if each["type"] == "VIRTUAL_HOST")
        return "\n".join((managed, *spec.get("topics", ()), *spec.get("queues", ()), *hosts))
    servers = spec["selfManagedEventSource"]["endpoints"]["KAFKA_BOOTSTRAP_SERVERS"]
    return "\n".join((",".join(servers), *spec.get("topics", ())))
