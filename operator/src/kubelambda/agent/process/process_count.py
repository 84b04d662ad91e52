"""How many processes and threads a function has at once (`docs/decisions/0009`)."""

import os
from pathlib import Path
from time import monotonic, thread_time

from kubelambda.agent.process import family

MOST = 742
"""Lambda's (§3.4.2)."""
_FILES = ("pids.current", "pids/pids.current")
"""Of version 2 and of version 1: what the kernel counts in our container."""
_SHARE = 10
"""Counting them one by one takes a tenth of a processor at most."""


class ProcessCount:
    """Those of one container. A bound of a function: who has more than `MOST` ends.

    The kernel counts them where a pod can read that. Elsewhere we count those below us.
    """

    always = True

    def __init__(self, cgroups: Path) -> None:
        """`cgroups` is where the control groups of the function's container are mounted."""
        self._counter = _opened(cgroups)
        self._own = 1
        self._count_at = 0.0

    def counted_by(self, counter: int) -> None:
        """The function runs in another container: `counter` is the open file of what the kernel counts there."""
        self._counter = counter

    def exceeded(self) -> str:
        """Why the function ends, if it has too many."""
        return f"more than {MOST} processes and threads: the environment ends" if self._count() > MOST else ""

    def _count(self) -> int:
        """Without ourselves, or the process 1 that stands in for us."""
        if self._counter is not None:
            try:
                return int(os.pread(self._counter, 32, 0)) - self._own
            except (OSError, ValueError):
                return 0
        now = monotonic()
        if now < self._count_at:
            return 0
        began = thread_time()
        found = family.tasks_below(os.getpid(), MOST + 1)
        self._count_at = now + (thread_time() - began) * _SHARE
        return found


def _opened(cgroups: Path) -> int | None:
    for name in _FILES:
        try:
            return os.open(cgroups / name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
    return None
