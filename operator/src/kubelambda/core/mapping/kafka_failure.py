"""What a destination is told of a batch of Kafka that was given up: pure (§7.5.3)."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from kubelambda.core.event.destination import DestinationService, OutgoingRecord, parse_destination
from kubelambda.core.event.destination_record import record_time
from kubelambda.core.mapping.kafka_record import KafkaEnvelope
from kubelambda.core.mapping.stream_failure import FailedBatch, context_of, sent_as

TOPIC_SCHEME: Final = "kafka://"


@dataclass(frozen=True, slots=True)
class KafkaMessage:
    """A message for a topic."""

    key: bytes | None
    value: bytes


@dataclass(frozen=True, slots=True)
class FailedKafkaBatch:
    """A batch at its end. Its shard is the partition, as events call it."""

    failed: FailedBatch
    servers: Sequence[str]
    envelope: KafkaEnvelope


def destination_topic(destination: str) -> str | None:
    """The topic that a destination names; None when it is something else."""
    return destination.removeprefix(TOPIC_SCHEME) if destination.startswith(TOPIC_SCHEME) else None


def outgoing_kafka_record(batch: FailedKafkaBatch, destination: str, now: datetime) -> OutgoingRecord:
    """The record as it goes to `destination`: a bucket gets the batch's event too."""
    failed = batch.failed
    event = batch.envelope.event(failed.batch.records)
    first, last = failed.batch.records[0], failed.batch.records[-1]
    body = _body(batch, len(event), now)
    body["KafkaBatchInfo"]["recordsInfo"] = {
        failed.shard: {
            "firstRecordOffset": first.sequence,
            "lastRecordOffset": last.sequence,
            "firstRecordTimestamp": record_time(first.arrival),
            "lastRecordTimestamp": record_time(last.arrival),
        }
    }
    named = parse_destination(destination)
    if named is not None and named.service is DestinationService.BUCKET:
        body["payload"] = json.loads(event)
    return sent_as(failed, body, now)


def topic_messages(batch: FailedKafkaBatch, now: datetime) -> list[KafkaMessage]:
    """The messages that a topic gets: one for each record, with its own key and an event of it alone."""
    found = []
    for record in batch.failed.batch.records:
        alone = replace(batch.failed, batch=replace(batch.failed.batch, records=(record,)))
        event = batch.envelope.event([record])
        body = _body(replace(batch, failed=alone), len(event), now)
        body["KafkaBatchInfo"]["recordInfo"] = {
            "offset": record.sequence,
            "timestamp": record_time(record.arrival),
        }
        body["payload"] = json.loads(event)
        key = json.loads(record.encoded).get("key")
        found.append(
            KafkaMessage(
                None if key is None else base64.b64decode(key),
                json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(),
            )
        )
    return found


def _body(batch: FailedKafkaBatch, payload_size: int, now: datetime) -> dict[str, Any]:
    failed = batch.failed
    info: dict[str, Any] = {"batchSize": len(failed.batch.records)}
    if failed.source.arn:
        info["eventSourceArn"] = failed.source.arn
    info |= {"bootstrapServers": ",".join(batch.servers), "payloadSize": payload_size}
    return context_of(failed) | {"version": "1.0", "timestamp": record_time(now), "KafkaBatchInfo": info}
