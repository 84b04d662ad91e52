"""Invocations a second of one frontend process on one core; load and stub share the other."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.load import wrk

FRONTEND_PORT, STUB_PORT = 18070, 18071
CONNECTIONS = 32


@dataclass(frozen=True)
class Throughput:
    """Invocations a second, and the processor time of the frontend for one: the steadier of the two figures."""

    rps: float
    cpu_us: float


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def process(module: str, core: int | None, *arguments: object) -> Iterator[int]:
    """A Python process, pinned to a core if one is named, once it says that it is ready."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if core is not None:
        os.sched_setaffinity(started.pid, {core})
    try:
        assert started.stdout is not None
        if started.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{module} did not start")
        yield started.pid
    finally:
        started.kill()
        started.wait()


def measure(seconds: int) -> Throughput:
    """One run of `seconds`."""
    cores = sorted(os.sched_getaffinity(0))
    own, others = cores[0], cores[-1]
    stub = process("bench.frontend.stub_agent", others, STUB_PORT)
    frontend = process("bench.frontend.server", own, FRONTEND_PORT, STUB_PORT)
    with stub, frontend as pid:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {others})
        try:
            path = "/2015-03-31/functions/hello/invocations"
            used = cpu_s(pid)
            rps = wrk(("127.0.0.1", FRONTEND_PORT), path, connections=CONNECTIONS, seconds=seconds).rps
            return Throughput(rps, (cpu_s(pid) - used) / (rps * seconds) * 1e6)
        finally:
            os.sched_setaffinity(0, before)


if __name__ == "__main__":
    found = measure(seconds=5)
    print(f"{found.rps:.0f} invocations/s, {found.cpu_us:.1f} us of CPU an invocation")
