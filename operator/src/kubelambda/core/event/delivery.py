"""The life of an asynchronous event between its 202 and its end: a pure machine (§6.1 to §6.4, D.3).

```
                 age over, reserved concurrency 0, or a loop
   waiting ───────────────────────────────────────────▶ discarded (EventAgeExceeded | ZeroReservedConcurrency | …)
      │ ▲
      ▼ │ 429, 5xx: 1 s, 2 s, 4 s … 5 min, no attempt used
   running ── function error: 1 min, 2 min ──▶ waiting ── retries used up ──▶ discarded (RetriesExhausted)
      │
      └─ success ──▶ done
```
"""

from dataclasses import dataclass, replace
from enum import StrEnum

RETRY_DELAYS_S = (60.0, 120.0)
"""Before the first and the second retry after a function error (§6.2)."""
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 300.0
"""Between attempts that the platform, not the function, turned down (§6.3)."""

PAUSE_MAX_S = 300.0
"""Nothing that waits does so for longer at once."""


class DeliveryCondition(StrEnum):
    """How an event ended, in the word that destination records carry (§6.7)."""

    SUCCESS = "Success"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    EVENT_AGE_EXCEEDED = "EventAgeExceeded"
    ZERO_RESERVED_CONCURRENCY = "ZeroReservedConcurrency"
    RECURSIVE_INVOCATION = "RecursiveInvocation"


class AttemptOutcome(StrEnum):
    """What became of one attempt."""

    SUCCEEDED = "succeeded"
    FUNCTION_ERROR = "function error"
    TURNED_DOWN = "turned down"
    """Throttled, or the platform failed: no attempt of the function's."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A function's, version's or alias's configuration (§6.5). Age in seconds."""

    maximum_retry_attempts: int = 2
    maximum_event_age: float = 21_600.0


@dataclass(frozen=True, slots=True)
class EventProgress:
    """How far an event is. Times in seconds since the epoch."""

    accepted_at: float
    due_at: float
    function_errors: int = 0
    turned_down: int = 0
    """In a row, since the function last ran."""
    invocations: int = 0
    """Times that the function ran: approximateInvokeCount."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Back into the queue."""

    progress: EventProgress


@dataclass(frozen=True, slots=True)
class Finish:
    """The event is at its end; its destinations are told so."""

    condition: DeliveryCondition
    progress: EventProgress

    @property
    def succeeded(self) -> bool:
        """Whether it goes to the destination for successes."""
        return self.condition is DeliveryCondition.SUCCESS


type NextStep = TryAgain | Finish


def accepted(now: float) -> EventProgress:
    """The progress of an event that was just accepted."""
    return EventProgress(accepted_at=now, due_at=now)


def seconds_until(due: float, now: float) -> float:
    """For how long what is due at `due` still waits; less than 0 once it is.

    Due times outlive the process and are therefore a wall clock's. One that is further away than any pause was written
    before that clock was put back: what waits for it is due.
    """
    seconds = due - now
    return seconds if seconds <= PAUSE_MAX_S else 0.0


def before_attempt(
    progress: EventProgress, policy: RetryPolicy, reserved_concurrency: int | None, now: float, *, looping: bool = False
) -> Finish | None:
    """Whether an event that is due ends without being tried. `looping`: its chain has come back too often (§6.8)."""
    if now - progress.accepted_at > policy.maximum_event_age:
        return Finish(DeliveryCondition.EVENT_AGE_EXCEEDED, progress)
    if reserved_concurrency == 0:
        return Finish(DeliveryCondition.ZERO_RESERVED_CONCURRENCY, progress)
    if looping:
        return Finish(DeliveryCondition.RECURSIVE_INVOCATION, progress)
    return None


def after_attempt(progress: EventProgress, policy: RetryPolicy, outcome: AttemptOutcome, now: float) -> NextStep:
    """What follows from an attempt. A retry that would come after the event's time comes at its end instead."""
    if outcome is AttemptOutcome.TURNED_DOWN:
        pause = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(progress.turned_down, 30))
        waiting = replace(progress, turned_down=progress.turned_down + 1)
        return TryAgain(replace(waiting, due_at=_within_age(waiting, policy, now + pause)))
    ran = replace(progress, invocations=progress.invocations + 1, turned_down=0)
    if outcome is AttemptOutcome.SUCCEEDED:
        return Finish(DeliveryCondition.SUCCESS, ran)
    failed = replace(ran, function_errors=ran.function_errors + 1)
    if failed.function_errors > policy.maximum_retry_attempts:
        return Finish(DeliveryCondition.RETRIES_EXHAUSTED, failed)
    pause = RETRY_DELAYS_S[min(failed.function_errors, len(RETRY_DELAYS_S)) - 1]
    return TryAgain(replace(failed, due_at=_within_age(failed, policy, now + pause)))


def _within_age(progress: EventProgress, policy: RetryPolicy, due: float) -> float:
    """Just past its age an event is looked at once more, and given up: nobody waits for what is over."""
    return min(due, progress.accepted_at + policy.maximum_event_age + 1e-3)
