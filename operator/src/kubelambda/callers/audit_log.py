"""One line for each call: who, what, which object, and what came of it. Lines are gathered and written together."""

import json
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final

ANONYMOUS: Final = "anonymous"
"""Who proved nothing, where nothing is asked for."""
_GATHERED_MAX_CHARS: Final = 65_536
_GATHERED_S: Final = 0.2

_quoted = lru_cache(maxsize=4096)(json.dumps)
"""The same few callers and functions come again and again."""


def standard_output(text: str) -> None:
    """Writes whole lines beside those of the log."""
    sys.stdout.write(text)
    sys.stdout.flush()


class AuditLog:
    """Writes with `write`; `later` runs something after so many seconds. Nothing secret ever gets here."""

    def __init__(
        self,
        write: Callable[[str], object],
        later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._write = write
        self._later = later
        self._clock = clock
        self._lines: list[str] = []
        self._size = 0
        self._second = 0
        self._stamp = ""

    def record(
        self,
        *,
        request_id: str,
        caller: str,
        action: str,
        resource: str,
        status: int,
        error: str = "",
        milliseconds: float = 0.0,
    ) -> None:
        """One call. `request_id` has letters, digits and dashes; `error` is Lambda's name of one, if it was one."""
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        stamp = f"{self._stamp}.{int((now - second) * 1000):03d}Z"
        line = (
            f'{{"time": "{stamp}", "level": "INFO", "logger": "kubelambda.audit", '
            f'"requestId": "{request_id}", "caller": {_quoted(caller)}, "action": {_quoted(action)}, '
            f'"resource": {_quoted(resource)}, "status": {status}, "error": {_quoted(error)}, '
            f'"milliseconds": {milliseconds:.1f}}}\n'
        )
        if not self._lines:
            self._later(_GATHERED_S, self.flush)
        self._lines.append(line)
        self._size += len(line)
        if self._size > _GATHERED_MAX_CHARS:
            self.flush()

    def flush(self) -> None:
        """Writes what was gathered."""
        if self._lines:
            lines, self._lines, self._size = self._lines, [], 0
            self._write("".join(lines))
