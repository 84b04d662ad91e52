"""What destinations and dead-letter queues are told of an event (§6.6, §6.7)."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from kubelambda.core.event.delivery import DeliveryCondition, Finish
from kubelambda.core.invoke import event_json

ERROR_MESSAGE_MAX_BYTES = 1024
_NOT_RUN = {
    DeliveryCondition.EVENT_AGE_EXCEEDED: ("429", "The event is older than the function's events may be."),
    DeliveryCondition.ZERO_RESERVED_CONCURRENCY: ("429", "The function has a reserved concurrency of 0."),
    DeliveryCondition.RECURSIVE_INVOCATION: ("400", "The function was invoked in a recursive loop."),
}
"""Status and message of events whose last word is not the function's."""


@dataclass(frozen=True, slots=True)
class LastAttempt:
    """The last answer of the function. Absent when it never ran."""

    status: int
    executed_version: str
    function_error: str | None
    payload: bytes


@dataclass(frozen=True, slots=True)
class EndedEvent:
    """An event at its end. `function_arn` is qualified (`…:$LATEST` for none)."""

    request_id: str
    function_arn: str
    payload: bytes
    end: Finish
    last: LastAttempt | None


def destination_record(event: EndedEvent, now: datetime) -> str:
    """The record of version 1.0, members in Lambda's order, payloads as they came."""
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": record_time(now),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": event.function_arn,
            "condition": event.end.condition.value,
            "approximateInvokeCount": event.end.progress.invocations,
        },
        "requestPayload": _raw(event.payload),
    }
    if event.last is not None:
        context: dict[str, Any] = {
            "statusCode": event.last.status,
            "executedVersion": event.last.executed_version,
        }
        if event.last.function_error:
            context["functionError"] = event.last.function_error
        record["responseContext"] = context
        record["responsePayload"] = _raw(event.last.payload)
    return msgspec.json.encode(record).decode()


def dead_letter_attributes(event: EndedEvent) -> dict[str, tuple[str, str]]:
    """Attributes of the message that carries the original event: name to type and value."""
    status, message = _NOT_RUN.get(event.end.condition, ("200", ""))
    if event.last is not None:
        status = str(event.last.status)
        answer = _json(event.last.payload)
        message = str(answer.get("errorMessage", "")) if isinstance(answer, dict) else ""
    attributes = {"RequestID": ("String", event.request_id), "ErrorCode": ("Number", status)}
    if message:
        begun = message.encode(errors="replace")[:ERROR_MESSAGE_MAX_BYTES]
        attributes["ErrorMessage"] = ("String", begun.decode(errors="ignore"))
    return attributes


def record_time(now: datetime) -> str:
    """With milliseconds, in UTC: 2019-11-14T18:16:05.568Z."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"


def _raw(text: bytes) -> msgspec.Raw | str | None:
    """JSON as it stands: reading and writing it again would cost its size in objects, and change numbers."""
    if not text:
        return None
    return msgspec.Raw(text) if event_json.problem(text) is None else text.decode(errors="replace")


def _json(text: bytes) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return text.decode(errors="replace")
