"""What a destination names, and the message that carries a record there: pure (§6.6, §6.7).

Whoever has a record to send, of an event or of a source's batch, makes an `OutgoingRecord` of it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

_ARN = re.compile(r"arn:aws[a-z-]*:(lambda|sqs|sns|events|s3):([a-z0-9-]*):([0-9]{12}|):(.+)")
_TARGET = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class DestinationService(StrEnum):
    """Who takes the record."""

    FUNCTION = "lambda"
    QUEUE = "sqs"
    TOPIC = "sns"
    EVENT_BUS = "events"
    BUCKET = "s3"
    TARGET = "target"
    """An EventTarget, by its name: what is there, it says."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A destination as a configuration names it. `region` and `resource` are empty where the ARN has none."""

    service: DestinationService
    text: str
    region: str = ""
    resource: str = ""


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """A record on its way. `body` is what a queue or topic gets."""

    body: str
    id: str
    """Of the record: the request id, the same when it is sent again."""
    source: str
    """ARN of what it speaks of."""
    kind: str
    """Last word of EventBridge's detail type and of a CloudEvent's type: Success or Failure."""
    at: datetime
    attributes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Message attributes: type and value by name."""
    object_key: str = ""
    """Name in a bucket."""
    trace: str = ""
    """Trace header, with the chain of invocations that led here."""


@dataclass(frozen=True, slots=True)
class ServiceCall:
    """A call of a service: its operation and arguments as the service's own model names them.

    A call of SQS lacks the queue's URL, which has to be asked for by `queue`, its name.
    """

    service: str
    operation: str
    arguments: Mapping[str, Any]
    queue: str = ""


def parse_destination(text: str) -> Destination | None:
    """What `text` names; None when it is no destination."""
    found = _ARN.fullmatch(text)
    if found is not None:
        return Destination(DestinationService(found[1]), text, found[2], found[4])
    return Destination(DestinationService.TARGET, text) if _TARGET.fullmatch(text) else None


def service_call(destination: Destination, record: OutgoingRecord) -> ServiceCall | None:
    """The call that sends a record; None for functions and targets, which no call of AWS's services reaches."""
    match destination.service:
        case DestinationService.QUEUE:
            return _to_queue(destination, record)
        case DestinationService.TOPIC:
            arguments: dict[str, Any] = {"TopicArn": destination.text, "Message": record.body}
            if record.attributes:
                arguments["MessageAttributes"] = _attributes(record)
            return ServiceCall("sns", "publish", arguments)
        case DestinationService.EVENT_BUS:
            return ServiceCall("events", "put_events", {"Entries": [_entry(destination, record)]})
        case DestinationService.BUCKET:
            arguments = {"Bucket": destination.resource, "Key": record.object_key, "Body": record.body.encode()}
            return ServiceCall("s3", "put_object", arguments | {"ContentType": "application/json"})
    return None


def cloud_event(record: OutgoingRecord) -> bytes:
    """The record as a CloudEvent 1.0 in structured mode."""
    event = {
        "specversion": "1.0",
        "id": record.id,
        "source": record.source,
        "type": f"dev.kubelambda.invocation.{record.kind.lower()}",
        "time": record.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "datacontenttype": "application/json",
        "data": msgspec.Raw(record.body.encode()),
    }
    return msgspec.json.encode(event)


def async_object_key(function: str, at: datetime, unique: str) -> str:
    """Name of the object that has the record of an asynchronous invocation (§6.7)."""
    return f"aws/lambda/async/{function}/{at:%Y/%m/%d}/{at:%Y-%m-%dT%H.%M.%S}-{unique}"


def _to_queue(destination: Destination, record: OutgoingRecord) -> ServiceCall:
    arguments: dict[str, Any] = {"MessageBody": record.body}
    if record.attributes:
        arguments["MessageAttributes"] = _attributes(record)
    if record.trace:
        arguments["MessageSystemAttributes"] = {"AWSTraceHeader": {"DataType": "String", "StringValue": record.trace}}
    return ServiceCall("sqs", "send_message", arguments, queue=destination.resource)


def _attributes(record: OutgoingRecord) -> dict[str, dict[str, str]]:
    return {name: {"DataType": kind, "StringValue": value} for name, (kind, value) in record.attributes.items()}


def _entry(destination: Destination, record: OutgoingRecord) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "Time": record.at,
        "Source": "lambda",
        "DetailType": f"Lambda Function Invocation Result - {record.kind}",
        "Detail": record.body,
        "Resources": [destination.text, record.source],
        "EventBusName": destination.text,
    }
    return entry | ({"TraceHeader": record.trace[:500]} if record.trace else {})
