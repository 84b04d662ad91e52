"""What a server of JetStream has told of, the one that leads may not have yet; and what a server sends may get lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nats.js import JetStreamContext
from tests.eventually import eventually
from tests.integration.event.nats_servers import NatsServers

from kubelambda.core.event.delivery import accepted
from kubelambda.store.event.event_queue import InvokedFunction, QueuedEvent, QueueUnavailable
from kubelambda.store.event.jetstream_queue import JetStreamQueue

EVENT = QueuedEvent(InvokedFunction("team", "hello", ""), "id", b"{}", accepted(1000.0))
LATER = replace(EVENT.progress, due_at=5000.0, invocations=1)


@pytest.fixture
async def queues(tmp_path: Path) -> AsyncIterator[tuple[JetStreamQueue, JetStreamQueue]]:
    """The queue of a leader that has heard of one event, and one at a server that has nothing of it yet."""
    async with contextlib.AsyncExitStack() as stack:
        opened = []
        for name in ("ahead", "behind"):
            (tmp_path / name).mkdir()
            servers = NatsServers(tmp_path / name)
            servers.start()
            stack.callback(servers.stop)
            opened.append(await stack.enter_async_context(JetStreamQueue(servers.urls, max_bytes=100_000_000)))
        await opened[0].append(EVENT)
        assert [each.number async for each in opened[0].waiting()] == [1]
        yield opened[0], opened[1]


async def test_an_event_that_a_leader_does_not_have_yet_does_not_pass_for_purged(
    queues: tuple[JetStreamQueue, JetStreamQueue],
) -> None:
    """It is read once the leader has it; until then the queue cannot say."""
    queue, behind = queues
    queue._streams = behind._streams
    with pytest.raises(QueueUnavailable, match="does not have event 1 yet"):
        await queue.read([1])
    reading = asyncio.create_task(queue.read([1]))
    await asyncio.sleep(0.01)
    await behind.append(EVENT)
    assert await reading == {1: EVENT}
    await behind.finish(1)
    assert await queue.read([1]) == {}


async def test_an_event_whose_progress_a_leader_does_not_have_yet_is_not_begun_anew(
    queues: tuple[JetStreamQueue, JetStreamQueue],
) -> None:
    """Neither without any, nor with an earlier one; and it does not pass for purged."""
    queue, behind = queues
    await behind.append(EVENT)
    await queue.postpone(1, EVENT.progress)
    await queue.postpone(1, LATER)
    queue._streams = behind._streams
    for _ in range(2):
        with pytest.raises(QueueUnavailable, match=r"does not have the progress|it is not there"):
            await queue.read([1])
        await behind.postpone(1, LATER)
    assert (await queue.read([1]))[1].progress == LATER


async def test_a_stream_that_is_not_there_does_not_pass_for_an_event_that_was_purged(
    queues: tuple[JetStreamQueue, JetStreamQueue],
) -> None:
    """A server may answer before it has read which streams there are."""
    queue, behind = queues
    await behind._streams.delete_stream("KUBELAMBDA_EVENTS")
    queue._streams = behind._streams
    with pytest.raises(QueueUnavailable, match="stream not found"):
        await queue.read([1])


def losing(monkeypatch: pytest.MonkeyPatch, lost: set[int]) -> None:
    """Each of these events is sent once in vain, as when the connection breaks that it was written to."""
    fetch = JetStreamContext.PullSubscription.fetch

    async def some(self: Any, *arguments: Any, **more: Any) -> list[Any]:
        while True:
            found = await fetch(self, *arguments, **more)
            came = [each for each in found if each.metadata.sequence.stream not in lost]
            lost.difference_update(each.metadata.sequence.stream for each in found)
            if came:
                return came

    monkeypatch.setattr(JetStreamContext.PullSubscription, "fetch", some)


@pytest.mark.parametrize("lost", [{3}, {4, 5}, {2}, {6}])
async def test_what_is_lost_on_its_way_to_the_leader_is_asked_for_again(
    queues: tuple[JetStreamQueue, JetStreamQueue], monkeypatch: pytest.MonkeyPatch, lost: set[int]
) -> None:
    """Also while others come all the time: everything is heard of once, in order."""
    queue, heard = queues[0], list[int]()
    losing(monkeypatch, lost)

    async def listen() -> None:
        async for found in queue.arrivals():
            heard.append(found.number)

    listening = asyncio.create_task(listen())
    for _ in range(7):
        await queue.append(EVENT)
    await eventually(lambda: len(heard) >= 7)
    listening.cancel()
    assert heard == [2, 3, 4, 5, 6, 7, 8]
    assert not lost


@pytest.mark.parametrize("lost", [{1}, {3, 4}, {7}])
async def test_what_is_lost_while_a_leader_reads_what_waits_is_read_again(
    queues: tuple[JetStreamQueue, JetStreamQueue], monkeypatch: pytest.MonkeyPatch, lost: set[int]
) -> None:
    """To the last one that the stream has."""
    queue = queues[0]
    for _ in range(6):
        await queue.append(EVENT)
    losing(monkeypatch, lost)
    assert [each.number async for each in queue.waiting()] == [1, 2, 3, 4, 5, 6, 7]
    assert not lost


async def test_progress_that_was_kept_without_a_word_of_it_is_known(
    queues: tuple[JetStreamQueue, JetStreamQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer was lost with its connection: the event is not begun anew, and leaves nothing behind when it ends."""
    queue = queues[0]
    publish = queue._streams.publish

    async def unanswered(*arguments: Any, **more: Any) -> None:
        await publish(*arguments, **more)
        raise TimeoutError

    with monkeypatch.context() as lost:
        lost.setattr(queue._streams, "publish", unanswered)
        with pytest.raises(QueueUnavailable):
            await queue.postpone(1, LATER)
    assert (await queue.read([1]))[1].progress == LATER
    await queue.finish(1)
    assert (await queue._streams.stream_info("KUBELAMBDA_EVENT_PROGRESS")).state.messages == 0


async def test_progress_that_was_not_kept_keeps_no_event_from_being_tried(
    queues: tuple[JetStreamQueue, JetStreamQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was before."""
    queue = queues[0]

    async def unheard(*_: Any, **__: Any) -> None:
        raise TimeoutError

    with monkeypatch.context() as lost:
        lost.setattr(queue._streams, "publish", unheard)
        with pytest.raises(QueueUnavailable):
            await queue.postpone(1, LATER)
    assert (await queue.read([1]))[1] == EVENT
    await queue.finish(1)
    assert await queue.read([1]) == {}
