"""The records of an event out of what SQS hands over (§7.3.1)."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

_HEAD: Final = b'{"Records":['
_TAIL: Final = b"]}"


def sqs_record(message: Mapping[str, Any], source_arn: str) -> dict[str, Any]:
    """The record of a message as ReceiveMessage returns it."""
    record: dict[str, Any] = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {name: str(value) for name, value in (message.get("Attributes") or {}).items()},
        "messageAttributes": {
            name: _attribute(value) for name, value in (message.get("MessageAttributes") or {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
    }
    if message.get("MD5OfMessageAttributes"):
        record["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
    return record | {"eventSource": "aws:sqs", "eventSourceARN": source_arn, "awsRegion": source_arn.split(":")[3]}


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "StringValue" in value:
        found["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        found["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return found | {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}


def encoded(record: Mapping[str, Any]) -> bytes:
    """A record as it stands in an event."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


def event_of(records: Sequence[bytes]) -> bytes:
    """The event of encoded records."""
    return _HEAD + b",".join(records) + _TAIL


def event_bytes(count: int, record_bytes: int) -> int:
    """The size of an event of `count` records that have `record_bytes` altogether."""
    return len(_HEAD) + len(_TAIL) + record_bytes + max(0, count - 1)
