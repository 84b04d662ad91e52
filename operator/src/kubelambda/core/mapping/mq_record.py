"""The events of brokers out of what their clients hand over (§7.6)."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STOMP_ONLY: Final = frozenset(
    {
        "message-id", "destination", "timestamp", "expires", "priority", "persistent", "redelivered",
        "correlation-id", "reply-to", "type", "content-length", "subscription", "ack",
    }
)  # fmt: skip
"""Headers of a MESSAGE frame that are no properties of the message."""
_PRIORITY: Final = 4
_QUEUE: Final = "/queue/"


@dataclass(frozen=True, slots=True)
class EventFrame:
    """What stands around the records of an event."""

    head: bytes
    tail: bytes

    def event(self, records: Sequence[bytes]) -> bytes:
        """The event of encoded records."""
        return self.head + b",".join(records) + self.tail

    def size(self, count: int, record_bytes: int) -> int:
        """The size of an event of `count` records that have `record_bytes` altogether."""
        return len(self.head) + len(self.tail) + record_bytes + max(0, count - 1)


def rabbitmq_frame(source_arn: str, queue: str, virtual_host: str) -> EventFrame:
    """Around the messages of a queue of RabbitMQ."""
    head = {
        "eventSource": "aws:rmq",
        "eventSourceArn": source_arn,
        "rmqMessagesByQueue": {f"{queue}::{virtual_host}": []},
    }
    return _frame(head, b"]}}")


def activemq_frame(source_arn: str) -> EventFrame:
    """Around the messages of a queue of ActiveMQ."""
    return _frame({"eventSource": "aws:mq", "eventSourceArn": source_arn, "messages": []}, b"]}")


def _frame(event: Mapping[str, Any], tail: bytes) -> EventFrame:
    return EventFrame(json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode().removesuffix(tail), tail)


def rabbitmq_record(properties: Mapping[str, Any], body: bytes, *, redelivered: bool) -> dict[str, Any]:
    """A message of RabbitMQ. `properties` are those of AMQP 0-9-1 by their names there, those that are set."""
    at = properties.get("timestamp")
    return {
        "basicProperties": {
            "contentType": properties.get("content_type"),
            "contentEncoding": properties.get("content_encoding"),
            "headers": {name: _header(value) for name, value in (properties.get("headers") or {}).items()},
            "deliveryMode": properties.get("delivery_mode"),
            "priority": properties.get("priority"),
            "correlationId": properties.get("correlation_id"),
            "replyTo": properties.get("reply_to"),
            "expiration": properties.get("expiration"),
            "messageId": properties.get("message_id"),
            "timestamp": None if at is None else _time(at),
            "type": properties.get("message_type"),
            "userId": properties.get("user_id"),
            "appId": properties.get("app_id"),
            "clusterId": properties.get("cluster_id") or None,
            "bodySize": len(body),
        },
        "redelivered": redelivered,
        "data": base64.b64encode(body).decode(),
    }


def activemq_record(headers: Mapping[str, str], body: bytes, received_ms: int) -> dict[str, Any]:
    """A message of ActiveMQ, out of STOMP's MESSAGE frame. Only messages of bytes tell their length there."""
    sent_ms = _number(headers.get("timestamp"), received_ms)
    return {
        "messageID": headers["message-id"],
        "messageType": "jms/bytes-message" if "content-length" in headers else "jms/text-message",
        "timestamp": sent_ms,
        "deliveryMode": 2 if headers.get("persistent") == "true" else 1,
        "correlationID": headers.get("correlation-id"),
        "replyTo": headers.get("reply-to"),
        "destination": {"physicalName": headers["destination"].removeprefix(_QUEUE)},
        "redelivered": activemq_redelivered(headers),
        "type": headers.get("type"),
        "expiration": _number(headers.get("expires"), 0),
        "priority": _number(headers.get("priority"), _PRIORITY),
        "data": base64.b64encode(body).decode(),
        "brokerInTime": sent_ms,
        "brokerOutTime": received_ms,
        "properties": {name: value for name, value in headers.items() if name not in _STOMP_ONLY},
    }


def activemq_redelivered(headers: Mapping[str, str]) -> bool:
    """Whether ActiveMQ says that it has delivered a message before."""
    return headers.get("redelivered") == "true"


def encoded(record: Mapping[str, Any]) -> bytes:
    """A record as it stands in an event."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


def _number(text: str | None, otherwise: int) -> int:
    try:
        return otherwise if text is None else int(text)
    except ValueError:
        return otherwise


def _header(value: Any) -> Any:
    """As Lambda writes values of AMQP's tables: text as signed bytes, numbers as such."""
    if isinstance(value, str | bytes | bytearray):
        text = value.encode() if isinstance(value, str) else bytes(value)
        return {"bytes": [byte - 256 if byte > 127 else byte for byte in text]}
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return {name: _header(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_header(each) for each in value]
    return value


def _time(at: datetime) -> str:
    """`Jan 1, 1970, 12:33:41 AM`, in UTC."""
    utc = at.astimezone(UTC)
    half = "AM" if utc.hour < 12 else "PM"
    return f"{_MONTHS[utc.month - 1]} {utc.day}, {utc.year}, {utc.hour % 12 or 12}:{utc:%M:%S} {half}"
