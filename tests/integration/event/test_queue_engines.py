"""What every engine of the event queue promises, tried with each of them: SQLite, and real JetStream servers (§6.1)."""

import asyncio
import contextlib
import gc
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.eventually import eventually
from tests.integration.event.nats_servers import NatsServers

from kubelambda.core.event.delivery import DeliveryCondition, accepted
from kubelambda.core.event.destination_record import LastAttempt
from kubelambda.core.event.event_ending import EventEnding, Listener
from kubelambda.store.event import jetstream_queue
from kubelambda.store.event.event_queue import EventQueue, InvokedFunction, QueuedEvent, QueueUnavailable, WaitingEvent
from kubelambda.store.event.jetstream_queue import JetStreamQueue
from kubelambda.store.event.sqlite_queue import SqliteQueue

# The client of NATS leaves the sockets of servers that were killed to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MAX_BYTES = 100_000_000
TARGET = InvokedFunction("team", "hello", "live")
ENDING = EventEnding(
    DeliveryCondition.RETRIES_EXHAUSTED, 9.0, (Listener.DESTINATION,), LastAttempt(200, "3", "Unhandled", b"\x00{}"), 2
)
type Open = Callable[[], AbstractAsyncContextManager[EventQueue]]


def event(number: int, payload: bytes = b"{}") -> QueuedEvent:
    """An event that was accepted a while ago."""
    headers = {"x-amzn-trace-id": "Root=1", "x-kubelambda-arn": "arn:ü"}
    return QueuedEvent(TARGET, f"id-{number}", payload, accepted(1000.0 + number), headers)


@pytest.fixture(autouse=True)
def collected() -> Any:
    """What the client leaves is collected within its test."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is slow answers all the same, and one that is killed is not waited for too long."""
    monkeypatch.setattr(jetstream_queue, "_CALL_S", 10.0)


@pytest.fixture(params=["sqlite", "jetstream"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Opens the queue, the same one every time."""
    if request.param == "sqlite":
        yield lambda: SqliteQueue(tmp_path / "events.db")
        return
    monkeypatch.setattr(jetstream_queue, "_CALL_S", 20.0)  # no server is killed: one that is slow answers all the same
    servers = NatsServers(tmp_path)
    servers.start()
    yield lambda: JetStreamQueue(servers.urls, max_bytes=MAX_BYTES)
    servers.stop()


@pytest.fixture
async def queue(opened: Open) -> AsyncIterator[EventQueue]:
    """An empty queue."""
    async with opened() as found:
        yield found


async def waiting(queue: EventQueue) -> list[WaitingEvent]:
    """What waits."""
    return [found async for found in queue.waiting()]


async def test_an_event_comes_back_as_it_was(queue: EventQueue) -> None:
    """Payload, headers and progress; the largest event too."""
    first = await queue.append(event(1, b'{"a": 1}'))
    second = await queue.append(event(2, b'"' + b"x" * 1_048_574 + b'"'))
    assert second > first
    assert await queue.read([first, 999]) == {first: event(1, b'{"a": 1}')}
    assert (await queue.read([second]))[second] == event(2, b'"' + b"x" * 1_048_574 + b'"')


async def test_progress_and_endings_are_kept_and_what_is_finished_is_gone(queue: EventQueue) -> None:
    """Finished twice is finished."""
    first, second, third = [await queue.append(event(number)) for number in range(3)]
    later = replace(event(0).progress, due_at=5000.0, function_errors=1, invocations=1)
    await queue.postpone(first, later)
    await queue.postpone(first, replace(later, due_at=6000.0), ENDING)
    await queue.postpone(third, later)
    await queue.finish(second)
    await queue.finish(second)
    await queue.finish(third)
    assert await waiting(queue) == [(first, TARGET, 6000.0)]
    found = (await queue.read([first, second, third]))[first]
    assert found == replace(event(0), progress=replace(later, due_at=6000.0), ending=ENDING)


async def test_everything_is_there_after_a_restart(opened: Open) -> None:
    """In the order of acceptance, with progress, and numbers go on."""
    async with opened() as queue:
        numbers = [await queue.append(event(index)) for index in range(4)]
        await queue.finish(numbers[3])
        await queue.postpone(numbers[1], replace(event(1).progress, due_at=7000.0), ENDING)
    async with opened() as queue:
        assert [(each.number, each.due_at) for each in await waiting(queue)] == [
            (numbers[0], 1000.0),
            (numbers[1], 7000.0),
            (numbers[2], 1002.0),
        ]
        assert (await queue.read([numbers[1]]))[numbers[1]].ending == ENDING
        assert await queue.append(event(9)) > numbers[3]


async def test_many_at_once_are_all_kept(queue: EventQueue) -> None:
    """More than one page of them, and each gets a number of its own."""
    numbers = await asyncio.gather(*(queue.append(event(index)) for index in range(1200)))
    assert len(set(numbers)) == 1200
    assert [found.number for found in await waiting(queue)] == sorted(numbers)


WRITER = """
import asyncio, sys
from pathlib import Path
from kubelambda.core.event.delivery import accepted
from kubelambda.store.event.event_queue import InvokedFunction, QueuedEvent
from kubelambda.store.event.jetstream_queue import JetStreamQueue

async def main():
    async with JetStreamQueue(sys.argv[1:], max_bytes=100_000_000) as queue:
        async def one(index):
            while True:
                await queue.append(QueuedEvent(InvokedFunction("t", "f", ""), f"id-{index}", b"{}", accepted(0.0)))
                print(index, flush=True)
                index += 16
        await asyncio.gather(*(one(index) for index in range(16)))

asyncio.run(main())
"""


@pytest.fixture
def servers(tmp_path: Path) -> Any:
    """Three servers that replicate."""
    found = NatsServers(tmp_path, 3)
    found.start()
    yield found
    found.stop()


async def opened_cluster(servers: NatsServers) -> JetStreamQueue:
    """A queue on a cluster, as soon as that has elected its leaders."""
    deadline = asyncio.get_running_loop().time() + 90
    while True:
        try:
            return await JetStreamQueue(servers.urls, replicas=3, max_bytes=MAX_BYTES).__aenter__()
        except QueueUnavailable:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.2)


async def test_a_cluster_goes_on_accepting_when_a_server_is_killed(servers: NatsServers) -> None:
    """What it promised before and after is there; the one that comes back has it too."""
    queue = await opened_cluster(servers)
    promised = [await queue.append(event(number)) for number in range(20)]
    servers.kill(0)
    deadline = asyncio.get_running_loop().time() + 90
    while len(promised) < 40:
        with contextlib.suppress(QueueUnavailable):
            promised.append(await queue.append(event(len(promised))))
        assert asyncio.get_running_loop().time() < deadline
    servers.start(0)
    servers.kill(1)
    deadline = asyncio.get_running_loop().time() + 90
    while True:
        with contextlib.suppress(QueueUnavailable):
            left = [found.number for found in await waiting(queue)]
            break
        assert asyncio.get_running_loop().time() < deadline
    assert set(promised) <= set(left)
    await queue.__aexit__()


async def test_what_one_process_appends_another_hears_of(tmp_path: Path) -> None:
    """At once; and after the server was away, nothing is missing and nothing comes twice.

    What could not be promised then may be there all the same.
    """
    servers = NatsServers(tmp_path)
    servers.start()
    try:
        async with (
            JetStreamQueue(servers.urls, max_bytes=MAX_BYTES) as leader,
            JetStreamQueue(servers.urls, max_bytes=MAX_BYTES) as other,
        ):
            first = await other.append(event(0))
            assert [found.number for found in await waiting(leader)] == [first]
            heard: list[int] = []

            async def listen() -> None:
                async for found in leader.arrivals():
                    heard.append(found.number)  # noqa: PERF401 - it never ends

            listening = asyncio.create_task(listen())
            sent = [await other.append(event(number)) for number in range(1, 6)]
            await eventually(lambda: heard == sent)
            servers.kill()
            servers.start()
            while len(sent) < 10:
                with contextlib.suppress(QueueUnavailable):
                    sent.append(await other.append(event(len(sent))))
            await eventually(lambda: set(sent) <= set(heard))
            assert [number for number in heard if number in sent] == sent
            listening.cancel()
    finally:
        servers.stop()


async def test_what_was_accepted_survives_kills_of_server_and_process(tmp_path: Path) -> None:
    """Sixteen callers at once; every number that was printed came after its event was durable."""
    servers = NatsServers(tmp_path)
    servers.start()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, *servers.urls, stdout=subprocess.PIPE, limit=1 << 24
        )
        assert process.stdout is not None
        told = [await process.stdout.readline() for _ in range(300)]
        servers.kill()
        process.send_signal(signal.SIGKILL)
        told += (await process.stdout.read()).splitlines(keepends=True)
        await process.wait()
        promised = {f"id-{int(line)}" for line in told if line.endswith(b"\n")}
        servers.start()
        async with JetStreamQueue(servers.urls, max_bytes=MAX_BYTES) as queue:
            numbers = [found.number for found in await waiting(queue)]
            kept = {found.request_id for found in (await queue.read(numbers)).values()}
        assert promised <= kept
    finally:
        servers.stop()


async def test_a_full_stream_accepts_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """The caller is told; what was there stays."""
    servers = NatsServers(tmp_path)
    servers.start()
    try:
        async with JetStreamQueue(servers.urls, max_bytes=250_000) as queue:
            kept = await queue.append(event(1, b"x" * 100_000))
            with pytest.raises(QueueUnavailable, match="maximum bytes"):
                await queue.append(event(2, b"x" * 150_000))
            assert [found.number for found in await waiting(queue)] == [kept]
            await queue.finish(kept)
            await queue.append(event(2, b"x" * 150_000))
    finally:
        servers.stop()


async def test_servers_that_are_not_there_are_named() -> None:
    """At the start; the pod then says so and begins again."""
    with pytest.raises(QueueUnavailable, match="JetStream cannot be used"):
        await JetStreamQueue(["nats://127.0.0.1:9"]).__aenter__()


async def test_servers_that_ask_who_we_are_are_told(tmp_path: Path) -> None:
    """With the user and the password of the chart's Secret, and not without."""
    servers = NatsServers(tmp_path, authorization="user: events, password: secret")
    servers.start()
    try:
        with pytest.raises(QueueUnavailable, match="JetStream cannot be used"):
            await JetStreamQueue(servers.urls, max_bytes=MAX_BYTES).__aenter__()
        async with JetStreamQueue(servers.urls, max_bytes=MAX_BYTES, user="events", password="secret") as queue:
            assert await queue.append(event(1)) == 1
    finally:
        servers.stop()
