"""An event that is at its end, until everybody is told who is to be told: pure.

Its destination and its dead-letter queue are told first, and only then is it forgotten. What does not take it is tried
again, for hours; the function itself is never run again for it.
"""

import base64
import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from kubelambda.core.event.delivery import DeliveryCondition
from kubelambda.core.event.destination_record import LastAttempt

TELL_AGAIN_FIRST_S = 1.0
TELL_AGAIN_MAX_S = 300.0
TELL_FOR_S = 21_600.0
"""As long as an event may be old by default: what is then still not told is given up."""


class Listener(StrEnum):
    """Who is told how an event ended."""

    DESTINATION = "destination"
    DEAD_LETTER_QUEUE = "dead-letter queue"


@dataclass(frozen=True, slots=True)
class EventEnding:
    """How it ended, and who is not told yet. Times in seconds since the epoch."""

    condition: DeliveryCondition
    ended_at: float
    untold: tuple[Listener, ...]
    last: LastAttempt | None = None
    failures: int = 0
    """Times in a row that one of them could not be told."""

    @property
    def succeeded(self) -> bool:
        """Whether the function took the event."""
        return self.condition is DeliveryCondition.SUCCESS


def tell_again(ending: EventEnding, untold: Collection[Listener], now: float) -> tuple[EventEnding, float] | None:
    """The ending after `untold` could not be told, and when to try again; None: it is given up."""
    if now - ending.ended_at > TELL_FOR_S:
        return None
    pause = min(TELL_AGAIN_MAX_S, TELL_AGAIN_FIRST_S * 2.0 ** min(ending.failures, 30))
    left = tuple(each for each in ending.untold if each in untold)
    return replace(ending, untold=left, failures=ending.failures + 1), now + pause


def encoded(ending: EventEnding) -> str:
    """As JSON, for the queue."""
    found: dict[str, object] = {
        "condition": ending.condition.value,
        "endedAt": ending.ended_at,
        "untold": [each.value for each in ending.untold],
        "failures": ending.failures,
    }
    if ending.last is not None:
        last = ending.last
        found["last"] = [
            last.status,
            last.executed_version,
            last.function_error,
            base64.b64encode(last.payload).decode(),
        ]
    return json.dumps(found)


def decoded(text: str) -> EventEnding:
    """Out of the queue."""
    found = json.loads(text)
    last = found.get("last")
    return EventEnding(
        DeliveryCondition(found["condition"]),
        found["endedAt"],
        tuple(Listener(each) for each in found["untold"]),
        LastAttempt(last[0], last[1], last[2], base64.b64decode(last[3])) if last else None,
        found["failures"],
    )
