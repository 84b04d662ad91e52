"""The records of an event out of what a partition of Kafka has, and the event itself: pure (§7.5.1, §7.2.1)."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from kubelambda.core.mapping.mapping_source import MappingSource
from kubelambda.core.mapping.partial_batch import failed_items
from kubelambda.core.mapping.stream_rules import StreamRecord

_TIMESTAMP_TYPES: Final = ("CREATE_TIME", "LOG_APPEND_TIME")
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class KafkaEnvelope:
    """What an event of one partition has around its records."""

    head: bytes
    tail: bytes = b"]}}"

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.head) + len(self.tail)

    def event(self, records: Sequence[StreamRecord]) -> bytes:
        """The event of records, whose encoded form stands in it as it is."""
        return self.head + b",".join(record.encoded for record in records) + self.tail


def kafka_envelope(source: MappingSource, servers: Sequence[str], partition: str) -> KafkaEnvelope:
    """The envelope of events of a partition; `servers` are those of the cluster."""
    members: dict[str, Any] = {"eventSource": "aws:kafka" if source.arn else "aws:SelfManagedKafka"}
    if source.arn:
        members["eventSourceArn"] = source.arn
    members |= {"bootstrapServers": ",".join(servers), "records": {partition: []}}
    return KafkaEnvelope(_encode(members)[: -len(b"]}}")])


def partition_name(topic: str, partition: int) -> str:
    """What events and functions call a partition."""
    return f"{topic}-{partition}"


def kafka_record(
    topic: str,
    partition: int,
    offset: int,
    *,
    timestamp_ms: int,
    timestamp_type: int,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
) -> dict[str, Any]:
    """A record. The bytes of headers are signed, as Lambda's are; a record without a key has no such member."""
    record: dict[str, Any] = {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp": timestamp_ms,
        "timestampType": _TIMESTAMP_TYPES[timestamp_type],
    }
    if key is not None:
        record["key"] = base64.b64encode(key).decode()
    record["value"] = None if value is None else base64.b64encode(value).decode()
    record["headers"] = [{name: _signed(found)} for name, found in headers]
    return record


def encoded_record(record: dict[str, Any]) -> bytes:
    """A record as it stands in an event."""
    return _encode(record)


def failed_offsets(payload: bytes, partition: str, offsets: Sequence[str]) -> frozenset[str]:
    """The offsets that failed: none, those that the function names by partition and offset, or all (§7.2.2)."""

    def identifier(found: Any) -> str:
        if not isinstance(found, dict) or found.get("partition") != partition:
            return ""
        offset = found.get("offset")
        return str(offset) if isinstance(offset, int) and not isinstance(offset, bool) else ""

    return failed_items(payload, offsets, identifier)


def _signed(value: bytes | None) -> list[int] | None:
    return None if value is None else [each - 256 if each > 127 else each for each in value]
