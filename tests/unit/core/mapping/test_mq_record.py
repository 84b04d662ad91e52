"""The events of brokers, member by member (§7.6.1, §7.6.2)."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from kubelambda.core.mapping.mq_record import (
    activemq_frame,
    activemq_record,
    encoded,
    rabbitmq_frame,
    rabbitmq_record,
)

ARN = "arn:aws:mq:us-east-1:123456789012:broker:shop:b-1"
SENT = {
    "message-id": "ID:1",
    "destination": "/queue/orders",
    "subscription": "s",
    "ack": "a",
    "timestamp": "1598827811958",
}


def test_a_message_of_rabbitmq_has_every_member() -> None:
    """Null where its sender said nothing."""
    record = rabbitmq_record({"content_type": "text/plain"}, b"abc", redelivered=True)
    assert (record["data"], record["redelivered"]) == ("YWJj", True)
    about = record["basicProperties"]
    assert (about["contentType"], about["headers"], about["bodySize"]) == ("text/plain", {}, 3)
    others = set(about) - {"contentType", "headers", "bodySize"}
    assert len(others) == 12
    assert all(about[name] is None for name in others)


def test_headers_of_rabbitmq_are_written_as_lambda_writes_them() -> None:
    """Text as signed bytes, whatever is nested as what it is."""
    headers = {
        "text": "é",
        "bytes": bytearray(b"\x80"),
        "number": 10,
        "exact": Decimal("1.5"),
        "yes": True,
        "none": None,
        "list": ["a", 1],
        "table": {"at": datetime(2026, 1, 2, tzinfo=UTC)},
    }
    found = rabbitmq_record({"headers": headers}, b"", redelivered=False)["basicProperties"]["headers"]
    assert found == {
        "text": {"bytes": [-61, -87]},
        "bytes": {"bytes": [-128]},
        "number": 10,
        "exact": 1.5,
        "yes": True,
        "none": None,
        "list": [{"bytes": [97]}, 1],
        "table": {"at": "Jan 2, 2026, 12:00:00 AM"},
    }


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(1970, 1, 1, 0, 33, 41, tzinfo=UTC), "Jan 1, 1970, 12:33:41 AM"),
        (datetime(2026, 12, 31, 12, 0, 0, tzinfo=UTC), "Dec 31, 2026, 12:00:00 PM"),
        (datetime(2026, 5, 9, 23, 5, 6, tzinfo=UTC), "May 9, 2026, 11:05:06 PM"),
        (datetime(2026, 5, 10, 1, 5, 6, tzinfo=timezone(timedelta(hours=2))), "May 9, 2026, 11:05:06 PM"),
    ],
)
def test_times_of_rabbitmq_are_words(at: datetime, text: str) -> None:
    """In UTC, of twelve hours."""
    assert rabbitmq_record({"timestamp": at}, b"", redelivered=False)["basicProperties"]["timestamp"] == text


def test_a_message_of_activemq_has_every_member() -> None:
    """Out of the frame that says least."""
    assert activemq_record(SENT, b"abc", 1598827811999) == {
        "messageID": "ID:1",
        "messageType": "jms/text-message",
        "timestamp": 1598827811958,
        "deliveryMode": 1,
        "correlationID": None,
        "replyTo": None,
        "destination": {"physicalName": "orders"},
        "redelivered": False,
        "type": None,
        "expiration": 0,
        "priority": 4,
        "data": "YWJj",
        "brokerInTime": 1598827811958,
        "brokerOutTime": 1598827811999,
        "properties": {},
    }


def test_what_a_frame_of_activemq_says_is_told() -> None:
    """Only messages of bytes have a length there; what is no member is a property; no number is taken for none."""
    more = {"content-length": "3", "persistent": "true", "expires": "60000", "priority": "x", "redelivered": "true"}
    record = activemq_record({**SENT, **more, "colour": "red"}, b"abc", 0)
    assert record["messageType"] == "jms/bytes-message"
    assert (record["deliveryMode"], record["expiration"], record["priority"]) == (2, 60000, 4)
    assert record["redelivered"]
    assert record["properties"] == {"colour": "red"}


def test_an_event_stands_around_its_records() -> None:
    """And is as large as it says."""
    records = [encoded({"data": each}) for each in ("a", "é")]
    rabbit, active = rabbitmq_frame(ARN, "orders", "/"), activemq_frame(ARN)
    assert json.loads(rabbit.event(records)) == {
        "eventSource": "aws:rmq",
        "eventSourceArn": ARN,
        "rmqMessagesByQueue": {"orders::/": [{"data": "a"}, {"data": "é"}]},
    }
    assert json.loads(active.event(records)) == {
        "eventSource": "aws:mq",
        "eventSourceArn": ARN,
        "messages": [{"data": "a"}, {"data": "é"}],
    }
    for frame in (rabbit, active):
        assert len(frame.event(records)) == frame.size(2, sum(map(len, records)))
