"""What every process can say of itself, under the names that dashboards know from other programs."""

import os
import resource
import time
from pathlib import Path

from kubelambda.metrics.metric_registry import MetricRegistry
from kubelambda.metrics.series import LookedSeries

_PROCESS = Path("/proc/self")
_STARTED, _VIRTUAL, _RESIDENT = 19, 20, 21
"""Fields of `stat` behind the name."""


def add_process_series(registry: MetricRegistry) -> None:
    """Memory, CPU, age and open files of this process."""
    LookedSeries("process_virtual_memory_bytes", "Virtual memory size in bytes.", registry).follow(
        lambda: _field(_VIRTUAL)
    )
    LookedSeries("process_resident_memory_bytes", "Resident memory size in bytes.", registry).follow(
        lambda: _field(_RESIDENT) * resource.getpagesize()
    )
    started = _start_time()  # once: a clock that is set would make it another process
    LookedSeries(
        "process_start_time_seconds", "Start time of the process since unix epoch in seconds.", registry
    ).follow(lambda: started)
    cpu = LookedSeries(
        "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", registry, kind="counter"
    )
    cpu.follow(time.process_time)
    LookedSeries("process_open_fds", "Number of open file descriptors.", registry).follow(
        lambda: sum(1 for _ in (_PROCESS / "fd").iterdir())
    )
    LookedSeries("process_max_fds", "Maximum number of open file descriptors.", registry).follow(
        lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    )


def _field(index: int) -> float:
    return float((_PROCESS / "stat").read_text().rpartition(")")[2].split()[index])


def _start_time() -> float:
    """The age by the clock of the boot, back from now."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + _field(_STARTED) / os.sysconf("SC_CLK_TCK")
