"""Which message carries a record to which kind of destination (§6.6, §6.7)."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kubelambda.core.event.destination import (
    Destination,
    DestinationService,
    OutgoingRecord,
    async_object_key,
    cloud_event,
    parse_destination,
    service_call,
)

AT = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST"
RECORD = OutgoingRecord('{"version":"1.0"}', "id-1", FUNCTION, "Failure", AT, object_key="key", trace="Root=1")
QUEUE = "arn:aws:sqs:us-east-1:123456789012:orders"


def destination(text: str) -> Destination:
    """A destination that there is."""
    found = parse_destination(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "service", "resource"),
    [
        (QUEUE, DestinationService.QUEUE, "orders"),
        ("arn:aws-cn:sns:cn-north-1:123456789012:news", DestinationService.TOPIC, "news"),
        (
            "arn:aws:events:us-east-1:123456789012:event-bus/default",
            DestinationService.EVENT_BUS,
            "event-bus/default",
        ),
        ("arn:aws:s3:::bucket", DestinationService.BUCKET, "bucket"),
        (FUNCTION, DestinationService.FUNCTION, "function:f:$LATEST"),
        ("billing", DestinationService.TARGET, ""),
    ],
)
def test_a_destination_is_what_its_arn_says(text: str, service: DestinationService, resource: str) -> None:
    """Or an EventTarget by its name."""
    assert (destination(text).service, destination(text).resource) == (service, resource)


@pytest.mark.parametrize("text", ["", "Billing", "arn:aws:sqs", "arn:aws:kinesis:us-east-1:123456789012:stream/s"])
def test_what_is_no_destination_is_none(text: str) -> None:
    """Nothing is guessed."""
    assert parse_destination(text) is None


def test_a_queue_gets_the_record_with_the_chain_that_led_to_it() -> None:
    """The trace header is a system attribute, as SQS has it."""
    call = service_call(destination(QUEUE), RECORD)
    assert call is not None
    assert (call.service, call.operation, call.queue) == ("sqs", "send_message", "orders")
    assert call.arguments == {
        "MessageBody": RECORD.body,
        "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"}},
    }


def test_a_dead_letter_has_its_attributes() -> None:
    """On queues and topics alike."""
    letter = replace(RECORD, trace="", attributes={"ErrorCode": ("Number", "200")})
    wanted = {"ErrorCode": {"DataType": "Number", "StringValue": "200"}}
    for arn in (QUEUE, "arn:aws:sns:us-east-1:123456789012:news"):
        call = service_call(destination(arn), letter)
        assert call is not None
        assert call.arguments["MessageAttributes"] == wanted


def test_an_event_bus_gets_lambdas_entry() -> None:
    """Source, detail type, and the resources in order."""
    bus = "arn:aws:events:us-east-1:123456789012:event-bus/default"
    call = service_call(destination(bus), RECORD)
    assert call is not None
    (entry,) = call.arguments["Entries"]
    assert entry == {
        "Time": AT,
        "Source": "lambda",
        "DetailType": "Lambda Function Invocation Result - Failure",
        "Detail": RECORD.body,
        "Resources": [bus, FUNCTION],
        "EventBusName": bus,
        "TraceHeader": "Root=1",
    }


def test_a_bucket_gets_an_object() -> None:
    """By the key of asynchronous invocations."""
    assert async_object_key("f", AT, "u") == "aws/lambda/async/f/2026/03/04/2026-03-04T05.06.07-u"
    call = service_call(destination("arn:aws:s3:::bucket"), RECORD)
    assert call is not None
    assert (call.arguments["Bucket"], call.arguments["Key"]) == ("bucket", "key")


def test_no_call_reaches_a_function_or_a_target() -> None:
    """Functions are invoked; what a target is, it says itself."""
    assert service_call(destination(FUNCTION), RECORD) is None
    assert service_call(destination("billing"), RECORD) is None


def test_a_cloud_event_is_the_record_in_an_envelope() -> None:
    """Version 1.0, structured."""
    assert json.loads(cloud_event(RECORD)) == {
        "specversion": "1.0",
        "id": "id-1",
        "source": FUNCTION,
        "type": "dev.kubelambda.invocation.failure",
        "time": "2026-03-04T05:06:07.890000Z",
        "datacontenttype": "application/json",
        "data": {"version": "1.0"},
    }
