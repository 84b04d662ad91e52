"""What happened in INIT before anybody had subscribed: told to those who subscribe later, within bounds."""

from collections.abc import Callable
from typing import Final

from kubelambda.core.telemetry.telemetry_buffer import Dropped
from kubelambda.core.telemetry.telemetry_events import TelemetryEvent, logs_dropped

_EVENTS_MAX: Final = 1000
_OF_THE_PLATFORM: Final = 200
_MAX_BYTES: Final = 262_144
_REASON: Final = "More was printed before the subscription than is kept."


class InitHistory:
    """The first events, and how many there were besides."""

    def __init__(self) -> None:
        self._events: list[TelemetryEvent] = []
        self._size = 0
        self._dropped = Dropped(0, 0, "")

    def add(self, event: TelemetryEvent) -> None:
        """An event; what is printed leaves some room to what the platform says itself."""
        size = len(event.record) if isinstance(event.record, str) else len(event.line)
        printed = event.category != "platform"
        most = _EVENTS_MAX - _OF_THE_PLATFORM if printed else _EVENTS_MAX
        if len(self._events) >= most or (printed and self._size + size > _MAX_BYTES):
            self._dropped = Dropped(self._dropped.records + 1, self._dropped.size + size, _REASON)
            return
        self._events.append(event)
        self._size += size

    def replay(self, take: Callable[[TelemetryEvent], None], now: float) -> None:
        """Tells all of it."""
        for each in self._events:
            take(each)
        if self._dropped.records:
            take(logs_dropped(now, self._dropped))
