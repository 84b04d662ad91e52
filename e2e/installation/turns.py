"""Who may touch the installation: tests run side by side and share it, an exclusive one has it to itself."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = Path(tempfile.gettempdir()) / f"kubelambda-e2e-{os.getuid()}.lock"
_turns: list[bool] = []
"""Whether the turn that this process has is alone; outside of tests there is none."""


class NotAloneError(AssertionError):
    """A test that others run beside did what only an exclusive one may do."""


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Waits until no exclusive test runs; with `alone`, until no other test runs. Also between processes."""
    with _LOCK.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        _turns.append(alone)
        try:
            yield
        finally:
            _turns.pop()


def need_to_be_alone(what: str) -> None:
    """Raises NotAloneError where others run beside: call it before anything that they would notice."""
    if _turns and not _turns[-1]:
        raise NotAloneError(f"{what}: tests beside this one would notice; mark it with pytest.mark.exclusive")
