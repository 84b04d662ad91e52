"""What a queue has accepted is there until it is finished, whatever happens to its process or its disk (§6.1)."""

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from kubelambda.core.event.delivery import accepted
from kubelambda.store.event.event_queue import InvokedFunction, QueuedEvent, QueueUnavailable
from kubelambda.store.event.sqlite_queue import SqliteQueue


class Volume(NamedTuple):
    """Bytes of a volume, as the system tells them."""

    total: int
    used: int
    free: int


TARGET = InvokedFunction("team", "hello", "")


def event(number: int, payload: bytes = b"{}") -> QueuedEvent:
    """An event that was accepted a while ago."""
    return QueuedEvent(TARGET, f"id-{number}", payload, accepted(1000.0 + number), {"x-amzn-trace-id": "Root=1"})


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[SqliteQueue]:
    """An empty queue."""
    async with SqliteQueue(tmp_path / "events.db") as found:
        yield found


async def test_an_event_comes_back_as_it_was(queue: SqliteQueue) -> None:
    """Payload, headers and progress."""
    number = await queue.append(event(1, b'{"a": 1}'))
    assert await queue.read([number]) == {number: event(1, b'{"a": 1}')}


async def test_progress_is_kept_and_what_is_finished_is_gone(queue: SqliteQueue) -> None:
    """Finished twice is finished."""
    first, second = await queue.append(event(1)), await queue.append(event(2))
    later = replace(event(1).progress, due_at=5000.0, function_errors=1, invocations=1)
    await queue.postpone(first, later)
    await queue.finish(second)
    await queue.finish(second)
    assert [found async for found in queue.waiting()] == [(first, TARGET, 5000.0)]
    assert (await queue.read([first, second]))[first].progress == later


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    """In the order of acceptance, and numbers go on."""
    file = tmp_path / "events.db"
    async with SqliteQueue(file) as queue:
        numbers = [await queue.append(event(index)) for index in range(3)]
        await queue.finish(numbers[2])
    async with SqliteQueue(file) as queue:
        assert [found.number async for found in queue.waiting()] == numbers[:2]
        assert await queue.append(event(9)) > numbers[2]


WRITER = """
import asyncio, sys
from pathlib import Path
from kubelambda.core.event.delivery import accepted
from kubelambda.store.event.event_queue import InvokedFunction, QueuedEvent
from kubelambda.store.event.sqlite_queue import SqliteQueue

async def main():
    async with SqliteQueue(Path(sys.argv[1])) as queue:
        async def one(index):
            while True:
                await queue.append(QueuedEvent(InvokedFunction("t", "f", ""), f"id-{index}", b"{}", accepted(0.0)))
                print(index, flush=True)
                index += 16
        await asyncio.gather(*(one(index) for index in range(16)))

asyncio.run(main())
"""


async def test_what_was_accepted_survives_a_kill_in_the_middle(tmp_path: Path) -> None:
    """Sixteen callers at once; every number that was printed came after its event was durable."""
    file = tmp_path / "events.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(file), stdout=subprocess.PIPE, limit=1 << 24
    )
    assert process.stdout is not None
    told = [await process.stdout.readline() for _ in range(400)]
    process.send_signal(signal.SIGKILL)
    told += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    promised = {f"id-{int(line)}" for line in told if line.endswith(b"\n")}
    async with SqliteQueue(file) as queue:
        numbers = [found.number async for found in queue.waiting()]
        kept = set()
        for begin in range(0, len(numbers), 500):
            kept |= {found.request_id for found in (await queue.read(numbers[begin : begin + 500])).values()}
    assert len(promised) >= 400
    assert promised <= kept


async def test_a_file_has_one_process_and_its_successor_gets_everything(tmp_path: Path) -> None:
    """A pod deleted by force runs on beside its successor: what it accepts then must not wait for a restart."""
    file = tmp_path / "events.db"
    former = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(file), stdout=subprocess.PIPE, limit=1 << 24
    )
    assert former.stdout is not None
    await former.stdout.readline()

    async def waiting_of_the_successor() -> int:
        async with SqliteQueue(file) as queue:
            return len([found async for found in queue.waiting()])

    successor = asyncio.create_task(waiting_of_the_successor())
    told = 1 + len([await former.stdout.readline() for _ in range(400)])
    assert not successor.done()
    former.kill()
    told += len((await former.stdout.read()).splitlines())
    await former.wait()
    assert await successor >= told - 1  # the last line may be half a line


async def test_a_full_disk_accepts_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """The caller is told; what was there stays; room makes it work again."""
    async with SqliteQueue(tmp_path / "events.db") as queue:
        kept = await queue.append(event(1))
        pages = await queue._do(lambda database: database.execute("PRAGMA page_count").fetchone()[0])
        await queue._do(lambda database: database.execute(f"PRAGMA max_page_count = {pages + 2}").fetchone())
        with pytest.raises(QueueUnavailable, match="full"):
            await queue.append(event(2, b"x" * 100_000))
        assert [found.number async for found in queue.waiting()] == [kept]
        await queue._do(lambda database: database.execute("PRAGMA max_page_count = 100000").fetchone())
        await queue.append(event(2, b"x" * 100_000))


async def test_a_file_that_is_no_queue_is_refused(tmp_path: Path) -> None:
    """With its name."""
    file = tmp_path / "events.db"
    file.write_bytes(b"this is no database, " * 100)
    with pytest.raises(QueueUnavailable, match=r"events\.db cannot be opened"):
        await SqliteQueue(file).__aenter__()


async def test_a_damaged_page_costs_its_events_and_no_others(tmp_path: Path) -> None:
    """The last page of the table: what is not on it is worked on, and the file is kept for whoever looks into it."""
    file = tmp_path / "events.db"
    async with SqliteQueue(file) as queue:
        numbers = [await queue.append(event(index, b"x" * 300)) for index in range(200)]
    content = file.read_bytes()
    page = int.from_bytes(content[16:18])
    leaf = max(
        begin
        for begin in range(page, len(content), page)
        if content[begin] == 0x0D and b"id-1" in content[begin : begin + page]
    )
    file.write_bytes(content[:leaf] + b"\xff" * page + content[leaf + page :])
    async with SqliteQueue(file) as queue:
        left = [found.number async for found in queue.waiting()]
        assert len(left) >= 200 - page // 300
        assert set(left) < set(numbers)
        assert (await queue.read(left[:1]))[left[0]] == event(left[0] - 1, b"x" * 300)
        assert await queue.append(event(900)) > max(left)
    assert await asyncio.to_thread(lambda: list(tmp_path.glob("events.db.damaged-*")))


async def test_a_log_that_is_damaged_at_its_end_costs_what_was_written_last(tmp_path: Path) -> None:
    """As a write that was torn: nothing before it."""
    file = tmp_path / "events.db"
    async with SqliteQueue(file) as queue:
        numbers = [await queue.append(event(index)) for index in range(20)]
        written = {part: (file.with_name(part)).read_bytes() for part in ("events.db", "events.db-wal")}
    log = written["events.db-wal"]
    written["events.db-wal"] = log[:-4096] + b"\xff" * 4096
    for part, content in written.items():
        file.with_name(part).write_bytes(content)
    file.with_name("events.db-shm").unlink(missing_ok=True)
    async with SqliteQueue(file) as queue:
        left = [found.number async for found in queue.waiting()]
    assert left == numbers[: len(left)]
    assert len(left) >= 19


async def test_a_full_volume_keeps_room_to_finish_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleting writes too: if accepting took the last byte, nothing would ever end."""
    async with SqliteQueue(tmp_path / "events.db") as queue:
        kept = await queue.append(event(1))
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Volume(5 << 30, 0, 31 << 20))
        with pytest.raises(QueueUnavailable, match="volume of the event queue is full"):
            await queue.append(event(2))
        await queue.postpone(kept, replace(event(1).progress, due_at=5000.0))
        await queue.finish(kept)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Volume(5 << 30, 0, 33 << 20))
        await queue.append(event(2))
