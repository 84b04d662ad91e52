"""Invocations a second of one frontend process on one core; load and stub share the other."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from bench.load import wrk

FRONTEND_PORT, STUB_PORT = 18070, 18071
CONNECTIONS = 32


@contextlib.contextmanager
def _process(module: str, core: int, *arguments: object) -> Iterator[None]:
    """A Python process pinned to a core, once it says that it is ready."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, {core})
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{module} did not start")
        yield
    finally:
        process.kill()
        process.wait()


def measure(seconds: int) -> float:
    """Invocations a second."""
    cores = sorted(os.sched_getaffinity(0))
    own, others = cores[0], cores[-1]
    stub = _process("bench.frontend.stub_agent", others, STUB_PORT)
    frontend = _process("bench.frontend.server", own, FRONTEND_PORT, STUB_PORT)
    with stub, frontend:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {others})
        try:
            path = "/2015-03-31/functions/hello/invocations"
            return wrk(("127.0.0.1", FRONTEND_PORT), path, connections=CONNECTIONS, seconds=seconds).rps
        finally:
            os.sched_setaffinity(0, before)


if __name__ == "__main__":
    print(f"{measure(seconds=5):.0f} invocations/s")
