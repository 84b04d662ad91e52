"""One command at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = Path("/run/lock/kubelambda-cluster")
"""Of whoever brings nodes up or takes them down."""


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Waits for the lock, which the kernel releases even when its holder is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
