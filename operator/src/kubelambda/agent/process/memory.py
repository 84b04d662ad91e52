"""The most memory that an environment ever used, as REPORT says it (§9): runtime process and all that it started."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, thread_time

from kubelambda.wire.event_loop import EventLoop, Timer

_PROC = Path("/proc")
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
_STATUS_BYTES = 4096
_SHORT_MS = 10
_LOOK_S = 0.1
_SHARE = 50
"""Looking takes a fiftieth of a processor at most: the larger the processes, the rarer."""


class Memory:
    """A high-water mark over the life of an environment.

    The kernel keeps that of the runtime process. What it started is looked at while an invocation runs, ten times a
    second at most: a process that lives for less may be missed.
    """

    def __init__(self, loop: EventLoop, runtime_pid: Callable[[], int | None]) -> None:
        self.peak_kb = 0
        self._loop = loop
        self._runtime_pid = runtime_pid
        self._status: tuple[int, int] | None = None
        self._in_flight = False
        self._timer: Timer | None = None
        self._looked = 0.0
        self._pause_s = _LOOK_S

    @property
    def peak_mb(self) -> int:
        """The mark in MB, rounded up."""
        return -(-self.peak_kb // 1024)

    def began(self) -> None:
        """An invocation begins. One timer sees to all that follow each other: most are over before it looks."""
        self._in_flight = True
        if self._timer is None:
            self._timer = self._loop.call_later(_LOOK_S, self._tick)

    def ended(self, after_ms: float) -> None:
        """The invocation is over.

        The kernel takes as long to say the mark as we do for all else: after invocations too short to use much more,
        one look in a tenth of a second will do.
        """
        self._in_flight = False
        if after_ms >= _SHORT_MS or monotonic() - self._looked >= self._pause_s:
            self._look()

    def _tick(self) -> None:
        self._timer = None
        if self._in_flight:
            self._look()
            self._timer = self._loop.call_later(self._pause_s, self._tick)

    def _look(self) -> None:
        pid = self._runtime_pid()
        if pid is None:
            return
        now = monotonic()
        self.peak_kb = max(self.peak_kb, self._high_water_kb(pid))
        if now - self._looked < self._pause_s:
            return
        began = thread_time()
        self.peak_kb = max(self.peak_kb, family_kb(os.getpid(), pid))
        self._looked = now
        self._pause_s = max(_LOOK_S, (thread_time() - began) * _SHARE)

    def _high_water_kb(self, pid: int) -> int:
        """The kernel's mark of the runtime process, 0 when it is gone. The file stays open: we ask often."""
        try:
            if self._status is None or self._status[0] != pid:
                if self._status is not None:
                    os.close(self._status[1])
                    self._status = None
                self._status = pid, os.open(_PROC / str(pid) / "status", os.O_RDONLY | os.O_CLOEXEC)
            return _field_kb(os.pread(self._status[1], _STATUS_BYTES, 0), b"VmHWM:")
        except OSError:
            return 0


def family_kb(agent: int, runtime: int) -> int:
    """What all processes below the agent use now, pages that they share counted once; 0 when the runtime is alone."""
    parents: dict[int, tuple[int, int]] = {}
    for name in os.listdir(_PROC):  # noqa: PTH208 - the names are enough
        if name.isdecimal() and int(name) != agent:
            with suppress(OSError):
                parents[int(name)] = _parent_and_kb((_PROC / name / "stat").read_bytes())

    def below(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid][0]
        return pid == agent

    family = [pid for pid in parents if below(pid)]
    return 0 if family == [runtime] else sum(_share_kb(pid, parents[pid][1]) for pid in family)


def _share_kb(pid: int, resident_kb: int) -> int:
    """Proportional set size of a process; all that is resident where the kernel does not say more."""
    try:
        return _field_kb((_PROC / str(pid) / "smaps_rollup").read_bytes(), b"Pss:") or resident_kb
    except OSError:
        return resident_kb


def _parent_and_kb(stat: bytes) -> tuple[int, int]:
    """Parent and resident memory out of /proc/PID/stat; the name of the process before them may hold anything."""
    fields = stat[stat.rindex(b")") + 2 :].split()
    return int(fields[1]), int(fields[21]) * _PAGE_KB


def _field_kb(text: bytes, name: bytes) -> int:
    _, found, rest = text.partition(name)
    return int(rest[: rest.index(b"kB")]) if found else 0
