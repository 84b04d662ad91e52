"""Records of a queue, as Lambda's events have them (§7.3.1)."""

import json
from typing import Any

from kubelambda.core.mapping.sqs_record import encoded, event_bytes, event_of, sqs_record

ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"
MESSAGE: dict[str, Any] = {
    "MessageId": "1",
    "ReceiptHandle": "handle",
    "Body": "hällo",
    "MD5OfBody": "abc",
    "Attributes": {"ApproximateReceiveCount": 2, "SentTimestamp": "1523232000000"},
    "MessageAttributes": {
        "text": {"StringValue": "x", "DataType": "String"},
        "bytes": {"BinaryValue": b"\x00\x01", "DataType": "Binary"},
    },
    "MD5OfMessageAttributes": "def",
}


def test_a_record_has_lambdas_members() -> None:
    """Attributes are texts, binary values base64, and the region is the queue's."""
    assert sqs_record(MESSAGE, ARN) == {
        "messageId": "1",
        "receiptHandle": "handle",
        "body": "hällo",
        "attributes": {"ApproximateReceiveCount": "2", "SentTimestamp": "1523232000000"},
        "messageAttributes": {
            "text": {"stringValue": "x", "stringListValues": [], "binaryListValues": [], "dataType": "String"},
            "bytes": {"binaryValue": "AAE=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
        },
        "md5OfBody": "abc",
        "md5OfMessageAttributes": "def",
        "eventSource": "aws:sqs",
        "eventSourceARN": ARN,
        "awsRegion": "eu-west-1",
    }


def test_a_message_without_attributes_has_no_digest_of_them() -> None:
    """The member is left out, as Lambda does."""
    bare = {name: MESSAGE[name] for name in ("MessageId", "ReceiptHandle", "Body", "MD5OfBody")}
    record = sqs_record(bare, ARN)
    assert (record["attributes"], record["messageAttributes"]) == ({}, {})
    assert "md5OfMessageAttributes" not in record


def test_the_size_of_an_event_is_known_before_it_is_made() -> None:
    """To the byte, whatever characters are in it."""
    records = [encoded(sqs_record({**MESSAGE, "Body": body}, ARN)) for body in ("a", '"ü"', "\n")]
    for count in range(1, 4):
        event = event_of(records[:count])
        assert len(event) == event_bytes(count, sum(map(len, records[:count])))
        assert len(json.loads(event)["Records"]) == count
