"""What a destination is told of a batch of a stream that was given up (§7.4.6)."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubelambda.core.event.destination import DestinationService, OutgoingRecord, parse_destination
from kubelambda.core.event.destination_record import record_time
from kubelambda.core.mapping.batch_attempts import StreamBatch
from kubelambda.core.mapping.mapping_source import MappingSource
from kubelambda.core.mapping.record_filter import SourceFormat
from kubelambda.core.mapping.stream_rules import GivenUp


@dataclass(frozen=True, slots=True)
class LastInvocation:
    """The last answer of the function to a batch. `request_id` is its own or, when it never ran, one of ours."""

    request_id: str
    executed_version: str = "$LATEST"
    function_error: str | None = None


@dataclass(frozen=True, slots=True)
class FailedBatch:
    """A batch at its end. `function_arn` without a qualifier."""

    source: MappingSource
    mapping_uuid: str
    function_arn: str
    shard: str
    batch: StreamBatch
    condition: GivenUp
    last: LastInvocation


def outgoing_record(failed: FailedBatch, destination: str, now: datetime) -> OutgoingRecord:
    """The record as it goes to `destination`: a bucket gets the batch's records too."""
    body = failure_record(failed, now)
    named = parse_destination(destination)
    if named is not None and named.service is DestinationService.BUCKET:
        body["payload"] = {"Records": [json.loads(record.encoded) for record in failed.batch.records]}
    return sent_as(failed, body, now)


def sent_as(failed: FailedBatch, body: dict[str, Any], now: datetime) -> OutgoingRecord:
    """A record of a batch, with the names under which destinations keep it."""
    unique = failed.last.request_id
    return OutgoingRecord(
        body=json.dumps(body, separators=(",", ":"), ensure_ascii=False),
        id=unique,
        source=failed.function_arn,
        kind="Failure",
        at=now,
        object_key=f"aws/lambda/{failed.mapping_uuid}/{failed.shard}/{now:%Y/%m/%d}/{now:%Y-%m-%dT%H.%M.%S}-{unique}",
    )


def failure_record(failed: FailedBatch, now: datetime) -> dict[str, Any]:
    """The record without the batch's own records."""
    records = failed.batch.records
    kinesis = failed.source.format is SourceFormat.KINESIS
    times = [_batch_time(record.arrival, milliseconds=kinesis) for record in (records[0], records[-1])]
    found = context_of(failed)
    found |= {"version": "1.0", "timestamp": record_time(now)}
    found["KinesisBatchInfo" if kinesis else "DDBStreamBatchInfo"] = {
        "shardId": failed.shard,
        "startSequenceNumber": records[0].sequence,
        "endSequenceNumber": records[-1].sequence,
        "approximateArrivalOfFirstRecord": times[0],
        "approximateArrivalOfLastRecord": times[1],
        "batchSize": len(records),
        "streamArn": failed.source.arn,
    }
    return found


def context_of(failed: FailedBatch) -> dict[str, Any]:
    """What the record says of the function and its last answer."""
    found: dict[str, Any] = {
        "requestContext": {
            "requestId": failed.last.request_id,
            "functionArn": failed.function_arn,
            "condition": failed.condition.value,
            "approximateInvokeCount": failed.batch.invoked,
        }
    }
    if failed.condition is GivenUp.RETRY_ATTEMPTS_EXHAUSTED:
        found["responseContext"] = {
            "statusCode": 200,
            "executedVersion": failed.last.executed_version,
            "functionError": failed.last.function_error,
        }
    return found


def _batch_time(at: datetime, *, milliseconds: bool) -> str:
    return record_time(at) if milliseconds else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
