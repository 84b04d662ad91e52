"""The records of an event out of what Kinesis and DynamoDB's streams hand over (§7.4.1, §7.4.2)."""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from kubelambda.core.mapping.stream_rules import StreamRecord


def kinesis_record(record: Mapping[str, Any], source_arn: str, shard: str, role: str) -> dict[str, Any]:
    """The record of what GetRecords of Kinesis returns."""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record["PartitionKey"],
            "sequenceNumber": record["SequenceNumber"],
            "data": base64.b64encode(record["Data"]).decode(),
            "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{record['SequenceNumber']}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": role,
        "awsRegion": source_arn.split(":")[3],
        "eventSourceARN": source_arn,
    }


def dynamodb_record(record: Mapping[str, Any], source_arn: str) -> dict[str, Any]:
    """The record of what GetRecords of DynamoDB's streams returns."""
    change = dict(record["dynamodb"])
    if "ApproximateCreationDateTime" in change:
        change["ApproximateCreationDateTime"] = int(change["ApproximateCreationDateTime"].timestamp())
    found = {
        "eventID": record["eventID"],
        "eventName": record["eventName"],
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": record.get("awsRegion") or source_arn.split(":")[3],
        "dynamodb": _plain(change),
        "eventSourceARN": source_arn,
    }
    who = record.get("userIdentity")
    if who:
        found["userIdentity"] = {"type": who.get("Type"), "principalId": who.get("PrincipalId")}
    return found


def item_key(record: Mapping[str, Any]) -> str:
    """What keeps the order of a DynamoDB item: its key."""
    return json.dumps(_plain(record["dynamodb"].get("Keys") or {}), sort_keys=True)


def stream_event(records: Sequence[StreamRecord], members: Mapping[str, Any] | None = None) -> bytes:
    """The event of records, and of a tumbling window if there is one."""
    body = b'{"Records":[' + b",".join(record.encoded for record in records) + b"]"
    if members:
        body += b"," + json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()[1:-1]
    return body + b"}"


def utc(at: datetime) -> datetime:
    """A time as the clients of the services return it, in UTC."""
    return at.astimezone(UTC)


def _plain(value: Any) -> Any:
    """Attribute values as JSON has them: bytes in base64, sets as lists."""
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return value
