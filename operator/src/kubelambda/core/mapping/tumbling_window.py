"""Tumbling windows: a state that the function hands from one batch to the next, until the window ends (§7.4.7)."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

STATE_MAX_BYTES: Final = 1 << 20
GRACE_S: Final = 1.0
"""For how long after its end a window is kept open: records of it may still be on their way."""


def window_start(arrival: datetime, length_s: int) -> int:
    """Start of the window of a record, in seconds since 1970; 0 without windows."""
    return int(arrival.timestamp()) // length_s * length_s if length_s else 0


@dataclass(slots=True)
class TumblingWindow:
    """The window of a shard that is open, with what the function returned last."""

    start: int
    length_s: int
    state: dict[str, Any] = field(default_factory=dict)
    terminated_early: bool = False

    def over(self, now: datetime) -> bool:
        """Whether no record of it is expected any more."""
        return now.timestamp() >= self.start + self.length_s + GRACE_S

    def took(self, payload: bytes) -> bool:
        """Takes the state out of an answer. False when there is none: the batch has failed."""
        try:
            answer = json.loads(payload) if payload else None
        except (ValueError, RecursionError):
            return False
        state = answer.get("state") if isinstance(answer, dict) else None
        if not isinstance(state, dict):
            return False
        if len(json.dumps(state, separators=(",", ":")).encode()) > STATE_MAX_BYTES:
            self.terminated_early = True
        else:
            self.state = state
        return True

    def members(self, *, final: bool) -> dict[str, Any]:
        """What an event of the window has beside its records."""
        return {
            "window": {"start": _time(self.start), "end": _time(self.start + self.length_s)},
            "state": self.state,
            "isFinalInvokeForWindow": final,
            "isWindowTerminatedEarly": final and self.terminated_early,
        }


def _time(seconds: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
