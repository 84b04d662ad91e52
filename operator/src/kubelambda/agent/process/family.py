"""The processes below the agent: all that the runtime started, wherever it went, since orphans become ours."""

import os
import signal
from contextlib import suppress

_ROUNDS = 100


def below(pid: int) -> list[int]:
    """Every process below `pid`, parents before their children; those that ended and were not reaped included."""
    found = [pid]
    for parent in found:  # which grows meanwhile
        found += _children(parent)
    return found[1:]


def tasks_below(pid: int, enough: int) -> int:
    """Threads of all processes below `pid`, `enough` of them if there are more."""
    found, count = [pid], 0
    for parent in found:  # which grows meanwhile
        found += _children(parent)
        count += len(_threads(parent)) if parent != pid else 0
        if count >= enough:
            return enough
    return count


def kill_all() -> None:
    """Kills every process but us: no session, group or double fork of user code escapes.

    Process 1 of a container kills all that it can see. An agent that is not asks the kernel who is below it, until
    nobody new turns up: a killed process starts no others.
    """
    own = os.getpid()
    if own == 1:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        return
    killed: set[int] = set()
    for _ in range(_ROUNDS):
        fresh = [pid for pid in below(own) if pid not in killed]
        if not fresh:
            return
        for pid in fresh:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed.update(fresh)


def share_kb(pid: int) -> int:
    """Proportional set size of a process, so that shared pages count once; all that is resident where it is unknown."""
    return _field_kb(pid, "smaps_rollup", b"Pss:") or _field_kb(pid, "status", b"VmRSS:")


def high_water_kb(pid: int) -> int:
    """The most that a process ever had resident, by the kernel's own mark; 0 when it is gone."""
    return _field_kb(pid, "status", b"VmHWM:")


def resident_kb(pid: int) -> int:
    """What a process has resident now; 0 when it is gone."""
    return _field_kb(pid, "status", b"VmRSS:")


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in _threads(pid):
            found += map(int, _read(f"{pid}/task/{thread}/children").split())
    return found


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - the names are enough
    except OSError:
        return []


def _read(name: str) -> bytes:
    """A file of the kernel's, at whatever its size: looked at after invocations, where a `Path` costs more than it."""
    with open(f"/proc/{name}", "rb", buffering=0) as file:  # noqa: PTH123 - see above
        return file.read()


def _field_kb(pid: int, file: str, name: bytes) -> int:
    try:
        text = _read(f"{pid}/{file}")
    except OSError:
        return 0
    _, found, rest = text.partition(name)
    return int(rest[: rest.index(b"kB")]) if found else 0
