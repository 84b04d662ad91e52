"""Progress lines with elapsed time, and the one kind of error that people are shown without a traceback."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_STARTED = time.monotonic()


class ClusterError(Exception):
    """Something about the machine or the cluster that its message explains."""


def say(text: str) -> None:
    """One line, with the seconds since the command began."""
    print(f"[{time.monotonic() - _STARTED:6.1f}s] {text}", file=sys.stderr, flush=True)


@contextmanager
def step(title: str, *, announce: bool = False) -> Iterator[None]:
    """Says how long the block took; `announce` says beforehand that it will take a while."""
    if announce:
        say(f"{title} …")
    started = time.monotonic()
    try:
        yield
    except BaseException:
        say(f"{title}: FAILED after {time.monotonic() - started:.1f}s")
        raise
    say(f"{title}: {time.monotonic() - started:.1f}s")
