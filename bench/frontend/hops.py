"""Two frontends and a load on both: what the half of all requests costs that reaches the one that is not the owner.

`python -m bench.frontend.hops [rounds]` runs with and without leases by turns.
"""

import contextlib
import statistics
import sys
import threading
from dataclasses import dataclass

from bench.frontend.throughput import CONNECTIONS, cpu_s, process
from bench.load import Measured, wrk

PORT, STUB_PORT = 18070, 9010
"""Leases lead to the port that agents listen on."""
ADDRESSES = ("127.0.0.1", "127.0.0.2")
PATH = "/2015-03-31/functions/hello/invocations"


@dataclass(frozen=True)
class Hops:
    """Invocations a second by both frontends, and the processor time of both for one."""

    rps: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    errors: int


def measure(seconds: int, *, leases: bool) -> Hops:
    """One run of `seconds`, half of the connections to each frontend."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(process("bench.frontend.stub_agent", None, STUB_PORT))
        switch = "leases" if leases else "none"
        pids = [
            stack.enter_context(
                process("bench.frontend.server", None, PORT, STUB_PORT, address, ",".join(ADDRESSES), switch)
            )
            for address in ADDRESSES
        ]
        _load(1)  # every environment has started
        used = sum(map(cpu_s, pids))
        found = _load(seconds)
        used = sum(map(cpu_s, pids)) - used
    rps = sum(one.rps for one in found)
    return Hops(
        rps,
        used / (rps * seconds) * 1e6,
        statistics.mean(one.p50_ms for one in found),
        max(one.p99_ms for one in found),
        sum(one.errors for one in found),
    )


def _load(seconds: int) -> list[Measured]:
    found: list[Measured] = []

    def run(address: str) -> None:
        found.append(wrk((address, PORT), PATH, connections=CONNECTIONS // 2, seconds=seconds))

    threads = [threading.Thread(target=run, args=[address]) for address in ADDRESSES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def main() -> None:
    """Prints every run, and the medians."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    runs: dict[bool, list[Hops]] = {False: [], True: []}
    for _ in range(rounds):
        for leases in (False, True):
            found = measure(5, leases=leases)
            runs[leases].append(found)
            print(
                f"leases {'on ' if leases else 'off'}: {found.rps:.0f} invocations/s, {found.cpu_us:.1f} us of CPU for "
                f"one, p50 {found.p50_ms:.2f} ms, p99 {found.p99_ms:.2f} ms, {found.errors} errors",
                flush=True,
            )
    for leases, found_runs in runs.items():
        cpu, rps = (statistics.median(values) for values in zip(*((r.cpu_us, r.rps) for r in found_runs), strict=True))
        print(f"median with leases {'on ' if leases else 'off'}: {rps:.0f}/s, {cpu:.1f} us")


if __name__ == "__main__":
    main()
