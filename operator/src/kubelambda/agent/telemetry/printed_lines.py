"""Lines out of what a pipe brings, an event each."""

import codecs
from collections.abc import Callable

from kubelambda.core.telemetry.telemetry_events import TelemetryEvent, printed

LINE_MAX_BYTES = 262_144
"""A longer line becomes several events."""


class PrintedLines:
    """What the function, or its extensions, print. A line is complete with its end, or with that of its invocation."""

    def __init__(self, kind: str, as_json: bool, take: Callable[[TelemetryEvent], None]) -> None:
        self._kind = kind
        self._as_json = as_json
        self._take = take
        self._rest = bytearray()

    def add(self, data: bytes, now: float) -> None:
        """Some bytes more, at `now`."""
        *whole, rest = data.split(b"\n")  # runtimes put carriage returns within a line
        for line in whole:
            self._rest += line + b"\n"
            self.flush(now)
        self._rest += rest
        if len(self._rest) >= LINE_MAX_BYTES:
            _, size = codecs.utf_8_decode(self._rest, "replace", False)  # a character may have come in part
            begun = self._rest[size:]
            del self._rest[size:]
            self.flush(now)
            self._rest += begun

    def flush(self, now: float) -> None:
        """What is here of a line is one."""
        if self._rest:
            line = bytes(self._rest)
            self._rest.clear()
            self._take(printed(now, self._kind, line, as_json=self._as_json))
