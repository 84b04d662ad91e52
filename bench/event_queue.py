"""The event queue in a file, without a cluster: `python -m bench.event_queue`. Accepting, and a restart with many."""

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kubelambda.core.event.delivery import accepted
from kubelambda.core.event.event_schedule import EventSchedule
from kubelambda.store.event.event_queue import InvokedFunction, QueuedEvent
from kubelambda.store.event.sqlite_queue import SqliteQueue

EVENTS = 100_000
CALLERS = 64
PAYLOAD = b'{"text": "' + b"x" * 200 + b'"}'
_HEADERS = {"x-kubelambda-arn": "arn:aws:lambda:us-east-1:000000000000:function:f", "x-amzn-trace-id": "Root=1-" * 12}


async def fill(file: Path) -> float:
    """Events a second that are accepted from callers who each wait for their answer."""
    async with SqliteQueue(file) as queue:

        async def caller(index: int) -> None:
            for number in range(index, EVENTS, CALLERS):
                target = InvokedFunction("shop", f"f{number % 50}", "")
                await queue.append(QueuedEvent(target, f"id-{number}", PAYLOAD, accepted(time.time()), _HEADERS))

        started = time.monotonic()
        await asyncio.gather(*(caller(index) for index in range(CALLERS)))
        return EVENTS / (time.monotonic() - started)


async def load(file: Path) -> None:
    """What a new process does before it accepts; prints seconds and its memory."""
    started = time.monotonic()
    schedule = EventSchedule()
    async with SqliteQueue(file) as queue:
        async for number, target, due in queue.waiting():
            schedule.add((target.namespace, target.function), number, due)
        seconds = time.monotonic() - started
    status = Path("/proc/self/status").read_text()  # noqa: ASYNC240 - a bench
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    print(f"{len(schedule)} events: read in {seconds:.2f} s, {resident / 1024:.0f} MB resident")


def main() -> None:
    """Both; the restart is another process."""
    if len(sys.argv) > 1:
        asyncio.run(load(Path(sys.argv[1])))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events.db"
        print(f"{asyncio.run(fill(file)):.0f} events a second accepted from {CALLERS} callers")
        subprocess.run([sys.executable, "-m", "bench.event_queue", str(file)], check=True)


if __name__ == "__main__":
    main()
