"""Records say what Lambda's say, member by member (§6.6, §6.7)."""

import json
from datetime import UTC, datetime

import pytest

from kubelambda.core.event.delivery import DeliveryCondition, EventProgress, Finish
from kubelambda.core.event.destination_record import (
    EndedEvent,
    LastAttempt,
    dead_letter_attributes,
    destination_record,
)

NOW = datetime(2019, 11, 14, 18, 16, 5, 568_000, tzinfo=UTC)
ARN = "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST"


def ended(condition: DeliveryCondition, invocations: int, last: LastAttempt | None) -> EndedEvent:
    """An event at its end."""
    progress = EventProgress(0.0, 0.0, invocations=invocations)
    return EndedEvent("id-1", ARN, b'{"a": 1}', Finish(condition, progress), last)


def test_a_failure_carries_the_functions_last_error() -> None:
    """The example of Lambda's documentation."""
    last = LastAttempt(200, "$LATEST", "Unhandled", b'{"errorMessage": "no", "errorType": "E"}')
    record = destination_record(ended(DeliveryCondition.RETRIES_EXHAUSTED, 3, last), NOW)
    assert json.loads(record) == {
        "version": "1.0",
        "timestamp": "2019-11-14T18:16:05.568Z",
        "requestContext": {
            "requestId": "id-1",
            "functionArn": ARN,
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": {"a": 1},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": "no", "errorType": "E"},
    }
    members = ["version", "timestamp", "requestContext", "requestPayload", "responseContext", "responsePayload"]
    assert list(json.loads(record)) == members


def test_payloads_are_in_the_record_as_they_came() -> None:
    """Numbers keep their digits; what is no JSON is a string."""
    payload = b'{"price": 1.10, "big": 123456789012345678901234567890}'
    last = LastAttempt(200, "3", None, b"NaN")
    event = EndedEvent("id-1", ARN, payload, Finish(DeliveryCondition.SUCCESS, EventProgress(0.0, 0.0)), last)
    record = destination_record(event, NOW)
    assert payload.decode() in record
    assert json.loads(record)["responsePayload"] == "NaN"


def test_a_success_has_no_function_error_and_none_stays_null() -> None:
    """The member is absent, not empty."""
    text = destination_record(ended(DeliveryCondition.SUCCESS, 1, LastAttempt(200, "3", None, b"null")), NOW)
    record = json.loads(text)
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "3"}
    assert record["responsePayload"] is None


def test_an_event_that_never_ran_has_no_response() -> None:
    """Reserved concurrency of zero."""
    record = json.loads(destination_record(ended(DeliveryCondition.ZERO_RESERVED_CONCURRENCY, 0, None), NOW))
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert not {"responseContext", "responsePayload"} & record.keys()


def test_dead_letters_carry_the_first_kilobyte_of_the_error() -> None:
    """As message attributes beside the original event."""
    last = LastAttempt(200, "$LATEST", "Unhandled", json.dumps({"errorMessage": "x" * 5000}).encode())
    attributes = dead_letter_attributes(ended(DeliveryCondition.RETRIES_EXHAUSTED, 3, last))
    assert attributes["RequestID"] == ("String", "id-1")
    assert attributes["ErrorCode"] == ("Number", "200")
    assert attributes["ErrorMessage"] == ("String", "x" * 1024)


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        (DeliveryCondition.ZERO_RESERVED_CONCURRENCY, "429"),
        (DeliveryCondition.EVENT_AGE_EXCEEDED, "429"),
        (DeliveryCondition.RECURSIVE_INVOCATION, "400"),
    ],
)
def test_dead_letters_that_never_ran_say_why(condition: DeliveryCondition, code: str) -> None:
    """In the attributes of every dead letter: a status and a sentence."""
    attributes = dead_letter_attributes(ended(condition, 0, None))
    assert attributes["ErrorCode"] == ("Number", code)
    assert attributes["ErrorMessage"][1]


def test_the_first_kilobyte_ends_between_characters() -> None:
    """The limit counts bytes."""
    last = LastAttempt(200, "$LATEST", "Unhandled", json.dumps({"errorMessage": "€" * 1000}).encode())
    message = dead_letter_attributes(ended(DeliveryCondition.RETRIES_EXHAUSTED, 3, last))["ErrorMessage"][1]
    assert message == "€" * 341


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b'{"errorMessage": "cut within \\ud83d"}', "cut within ?"),
        pytest.param(b'{"errorMessage": %b}' % (b"[" * 20_000 + b"]" * 20_000), None, id="deep"),
    ],
)
def test_whatever_the_error_says_it_can_be_told(payload: bytes, message: str | None) -> None:
    """Half characters, which cut texts of JavaScript have, and what nests deeper than anybody reads."""
    last = LastAttempt(200, "$LATEST", "Unhandled", payload)
    attributes = dead_letter_attributes(ended(DeliveryCondition.RETRIES_EXHAUSTED, 3, last))
    assert attributes.get("ErrorMessage", (None, None))[1] == message
