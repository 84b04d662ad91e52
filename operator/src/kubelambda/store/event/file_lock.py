"""One process for one queue file: a pod that was deleted by force may still run when its successor begins."""

import errno
import fcntl
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE_S = 0.1
_REMIND_S = 10.0

log = logging.getLogger(__name__)


@contextmanager
def locked(file: Path, given_up: threading.Event) -> Iterator[None]:
    """Waits until no other process has `file`, then keeps it. The kernel lets go of it when a process ends, however.

    Without it two processes would accept events into one file, and those of the other would wait for a restart.
    Raises `OSError` where the lock cannot be made, or the waiting is `given_up`.
    """
    with file.with_name(f"{file.name}.lock").open("ab") as lock:
        told = float("-inf")
        while not _taken(lock.fileno()):
            if time.monotonic() - told > _REMIND_S:
                told = time.monotonic()
                log.warning("another process still has %s: waiting until it ends", file)
            if given_up.wait(_PAUSE_S):
                raise OSError(errno.ECANCELED, "nobody waits for it any more", str(file))
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
