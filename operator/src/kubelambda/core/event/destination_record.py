"""What destinations and dead-letter queues are told of an event (§6.6, §6.7)."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubelambda.core.event.delivery import Finish

ERROR_MESSAGE_MAX_CHARS = 1024


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


def destination_record(event: EndedEvent, now: datetime) -> dict[str, Any]:
    """The record of version 1.0, members in Lambda's order."""
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": record_time(now),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": event.function_arn,
            "condition": event.end.condition.value,
            "approximateInvokeCount": event.end.progress.invocations,
        },
        "requestPayload": _json(event.payload),
    }
    if event.last is not None:
        context: dict[str, Any] = {
            "statusCode": event.last.status,
            "executedVersion": event.last.executed_version,
        }
        if event.last.function_error:
            context["functionError"] = event.last.function_error
        record["responseContext"] = context
        record["responsePayload"] = _json(event.last.payload)
    return record


def dead_letter_attributes(event: EndedEvent) -> dict[str, tuple[str, str]]:
    """Attributes of the message that carries the original event: name to type and value."""
    message, status = "", "200"
    if event.last is not None:
        status = str(event.last.status)
        answer = _json(event.last.payload)
        message = str(answer.get("errorMessage", "")) if isinstance(answer, dict) else ""
    attributes = {"RequestID": ("String", event.request_id), "ErrorCode": ("Number", status)}
    if message:
        attributes["ErrorMessage"] = ("String", message[:ERROR_MESSAGE_MAX_CHARS])
    return attributes


def record_time(now: datetime) -> str:
    """With milliseconds, in UTC: 2019-11-14T18:16:05.568Z."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"


def _json(text: bytes) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text.decode(errors="replace")
