"""The most memory that an environment ever used, as REPORT says it (§9): runtime process and all that it started."""

import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic, thread_time

from kubelambda.agent.process import family
from kubelambda.agent.process.cgroup_peak import CgroupPeak
from kubelambda.wire.event_loop import EventLoop, Timer

_SHORT_MS = 10
_LOOK_S = 0.1
_SHARE = 50
"""Looking takes a fiftieth of a processor at most: the more processes there are, the rarer."""


class Memory:
    """A high-water mark over the life of an environment.

    It is the kernel's mark of our container where a pod can read one. Elsewhere we look while an invocation runs, ten
    times a second at most. The kernel keeps a mark for every process that it runs, and tells that of the runtime
    process when it ends; so only a process beside it that begins and ends between two looks is missed.
    """

    def __init__(self, loop: EventLoop, runtime_pid: Callable[[], int | None], cgroups: Path) -> None:
        self._loop = loop
        self._runtime_pid = runtime_pid
        self._cgroup = CgroupPeak.find(cgroups)
        self._peak_kb = 0
        self._in_flight = False
        self._timer: Timer | None = None
        self._looked = 0.0
        self._pause_s = _LOOK_S

    @property
    def used_mb(self) -> int:
        """The mark in MB, rounded up; never 0."""
        if self._cgroup is not None:
            self._peak_kb = max(self._peak_kb, self._cgroup.used_kb())
        return max(1, -(-self._peak_kb // 1024))

    def marked(self, cgroup: CgroupPeak) -> None:
        """The function runs in another container, and this is the kernel's mark of it."""
        self._cgroup = cgroup

    def initializing(self) -> None:
        """The function begins."""
        pid = self._runtime_pid()
        if self._cgroup is not None:
            self._cgroup.begin(family.resident_kb(pid) if pid is not None else 0)

    def initialized(self) -> None:
        """INIT is over."""
        self._look()

    def began(self) -> None:
        """An invocation begins. One timer sees to all that follow each other: most are over before it looks."""
        self._in_flight = True
        if self._timer is None and self._cgroup is None:
            self._timer = self._loop.call_later(_LOOK_S, self._tick)

    def ended(self, after_ms: float) -> None:
        """The invocation is over.

        The kernel takes as long to say a process's mark as we do for all else: after invocations too short to use
        much more, one look in a tenth of a second will do.
        """
        self._in_flight = False
        if self._cgroup is None and (after_ms >= _SHORT_MS or monotonic() - self._looked >= self._pause_s):
            self._look()

    def ending(self) -> None:
        """The processes are about to be killed, ahead of the end of their invocation."""
        self._look()

    def reaped(self, peak_kb: int) -> None:
        """A runtime process ended; the kernel says the most that it, or a process it waited for, had resident."""
        self._peak_kb = max(self._peak_kb, peak_kb)

    def exhausted(self, memory_size_mb: int) -> None:
        """The kernel ended the runtime process because it took all there is."""
        self._peak_kb = max(self._peak_kb, memory_size_mb * 1024)

    def _tick(self) -> None:
        self._timer = None
        if self._in_flight:
            self._look()
            self._timer = self._loop.call_later(self._pause_s, self._tick)

    def _look(self) -> None:
        pid = self._runtime_pid()
        if pid is None:
            return
        began = thread_time()
        self._peak_kb = max(self._peak_kb, family.high_water_kb(pid))
        now = monotonic()
        if self._cgroup is None and now - self._looked >= self._pause_s:
            others = [other for other in family.below(os.getpid()) if other != pid]
            if others:
                together = sum(map(family.share_kb, [pid, *others]))
                self._peak_kb = max(self._peak_kb, together, *map(family.high_water_kb, others))
            self._looked = now
            self._pause_s = max(_LOOK_S, (thread_time() - began) * _SHARE)
