"""The engine that survives a node: NATS JetStream, whose servers keep every event before it is accepted.

Two streams. In one is every event as it was accepted, by its sequence number; in the other, by subject, how far those
are that were tried. An event that is finished is deleted from both. Any number of processes append; one, the leader,
reads, postpones and finishes, and hears of what the others append.

Each server has a stream by itself: one that follows may tell of an event before the one that leads can read it, and one
that begins to lead has to catch up first. And what a server sends by a connection that breaks is sent once only.
"""

import asyncio
import json
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, Self

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RawStreamMsg,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NotFoundError

from kubelambda.core.event.delivery import EventProgress
from kubelambda.core.event.event_ending import EventEnding, decoded, encoded
from kubelambda.store.event.event_queue import InvokedFunction, QueuedEvent, QueueUnavailable, WaitingEvent

EVENTS, PROGRESS = "KUBELAMBDA_EVENTS", "KUBELAMBDA_EVENT_PROGRESS"
_EVENT_SUBJECT, _PROGRESS_SUBJECT = "kubelambda.events", "kubelambda.event-progress"
_HEADER = "Kubelambda-Event"
_CALL_S = 3.0
_LAGS_S = (0.02, 0.1, 0.5)
"""Pauses for a server that leads and does not have yet what another has told of."""
_APPEND_ATTEMPTS = 3
"""Within the time that a frontend waits. A repeated append is recognized by its id: it never counts twice."""
_PAGE = 500
_LOOK_S = 5.0
_AT_ONCE = 64
_READ_ATTEMPTS = 20
"""In a row without anything new, to read a stream to its end."""
_FIRST_ATTEMPTS = 5
"""To connect at the start; what was connected once connects again for ever."""
_OTHER_CONFIGURATION = 10058
_NO_MESSAGE = 10037
_NO_SEQUENCE = 10043
LARGEST_EVENT = 1_200_000

log = logging.getLogger(__name__)


class JetStreamQueue:
    """The queue at `servers`, each stream on `replicas` of them. Use as an asynchronous context.

    The streams together take `max_bytes` of every server's disk.
    """

    def __init__(
        self,
        servers: Sequence[str],
        *,
        replicas: int = 1,
        max_bytes: int = 1 << 30,
        user: str | None = None,
        password: str | None = None,
    ) -> None:
        self._servers = list(servers)
        self._replicas = replicas
        self._max_bytes = max_bytes
        self._user = user
        self._password = password
        self._client = Client()
        self._streams: JetStreamContext
        self._tried: dict[int, int] = {}
        """Numbers that have progress of their own, and the number that it has in its stream; 0: it may have none."""
        self._last = 0
        """The last event that `waiting` or `arrivals` gave."""
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def __aenter__(self) -> Self:
        """Connects, and makes the streams. Raises `QueueUnavailable`."""
        try:
            await self._client.connect(
                self._servers,
                name="kubelambda-events",
                allow_reconnect=True,
                max_reconnect_attempts=_FIRST_ATTEMPTS,
                reconnect_time_wait=1,
                connect_timeout=2,
                error_cb=_log,
                user=self._user,
                password=self._password,
            )
            self._client.options["max_reconnect_attempts"] = -1
            self._streams = self._client.jetstream(timeout=_CALL_S)
            await self._make(EVENTS, _EVENT_SUBJECT, per_subject=-1, share=0.8)
            await self._make(PROGRESS, f"{_PROGRESS_SUBJECT}.*", per_subject=1, share=0.2)
        except (NatsError, OSError, TimeoutError) as error:
            await self.__aexit__()
            raise QueueUnavailable(f"JetStream cannot be used: {error or type(error).__name__}") from error
        if self._client.max_payload < LARGEST_EVENT:
            log.warning(
                "the servers take messages of %d bytes: events of more are refused; set max_payload to 8MB",
                self._client.max_payload,
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client.is_connected or self._client.is_reconnecting:
            with suppress(NatsError, OSError, TimeoutError):
                await self._client.close()

    async def append(self, event: QueuedEvent) -> int:
        """As `EventQueue.append`."""
        described = {
            "target": list(event.target),
            "id": event.request_id,
            "progress": asdict(event.progress),
            "headers": dict(event.headers),
        }
        # By an id of its own, not by the request id: a dead letter that comes back is no repetition.
        headers = {_HEADER: json.dumps(described), "Nats-Msg-Id": str(uuid.uuid4())}
        return await self._publish(_EVENT_SUBJECT, event.payload, headers)

    async def postpone(self, number: int, progress: EventProgress, ending: EventEnding | None = None) -> None:
        """As `EventQueue.postpone`."""
        subject = f"{_PROGRESS_SUBJECT}.{number}"
        self._tried.setdefault(number, 0)
        try:
            kept = await self._publish(subject, _progress(progress, ending), {})
        except QueueUnavailable:
            if ending is None or ending.last is None or len(ending.last.payload) < LARGEST_EVENT:
                raise
            # Larger than a message may be: the record goes without what the function returned, rather than never.
            short = replace(ending, last=replace(ending.last, payload=b""))
            kept = await self._publish(subject, _progress(progress, short), {})
        self._tried[number] = kept

    async def finish(self, number: int) -> None:
        """As `EventQueue.finish`."""
        await self._delete(number)
        if number in self._tried:
            await self._forget_progress(number)

    async def read(self, numbers: Sequence[int]) -> dict[int, QueuedEvent]:
        """As `EventQueue.read`."""
        found = await asyncio.gather(*(self._read(number) for number in numbers))
        return {number: event for number, event in zip(numbers, found, strict=True) if event is not None}

    async def waiting(self) -> AsyncIterator[WaitingEvent]:
        """As `EventQueue.waiting`. From then on `arrivals` has what comes after them."""
        due: dict[int, float] = {}
        async for message in self._each(PROGRESS, f"{_PROGRESS_SUBJECT}.*", headers_only=False):
            number = int(message.subject.rpartition(".")[2])
            due[number] = json.loads(message.data)["progress"]["due_at"]
            self._tried[number] = message.metadata.sequence.stream
        come_to, seen = (await self._call(self._streams.stream_info(EVENTS))).state.last_seq, set()
        async for message in self._each(EVENTS, _EVENT_SUBJECT, headers_only=True):
            event = _waiting(message)
            seen.add(event.number)
            self._last = event.number
            yield event._replace(due_at=due.get(event.number, event.due_at))
        for number in due.keys() - seen:
            if number <= come_to:  # a crash between the two deletions; later ones the leader may not have yet
                await self._forget_progress(number)

    async def arrivals(self) -> AsyncIterator[WaitingEvent]:
        """Every event that is appended after those that `waiting` gave, by whomever; never ends."""
        while True:
            try:
                consumer = await self._consumer(EVENTS, self._last + 1, headers_only=True)
                try:
                    async for message in self._followed(consumer):
                        event = _waiting(message)
                        self._last = event.number
                        yield event
                finally:
                    with suppress(NatsError, OSError, TimeoutError):
                        await consumer.unsubscribe()
            except (NatsError, OSError, TimeoutError) as error:
                log.info("following the events again from %d: %s", self._last, error or type(error).__name__)
                await asyncio.sleep(0.5)

    async def _followed(self, consumer: JetStreamContext.PullSubscription) -> AsyncIterator[Any]:
        """What a consumer brings; ends when it seems to have lost something, which the next one finds."""
        brought = 0
        while True:
            try:
                messages = await consumer.fetch(1, timeout=_LOOK_S)
            except TimeoutError:
                if (await self._streams.stream_info(EVENTS)).state.last_seq > self._last:
                    return
                continue
            if (more := messages[0].metadata.num_pending or 0) > 0:
                with suppress(TimeoutError):
                    messages += await consumer.fetch(min(more, _PAGE), timeout=1)
            unbroken = _unbroken(messages, brought)
            for message in unbroken:
                yield message
            if len(unbroken) < len(messages):
                return
            brought += len(messages)

    async def _each(self, stream: str, subject: str, *, headers_only: bool) -> AsyncIterator[Any]:
        """Every message that a stream has now, to the last one that its leader has. Raises `QueueUnavailable`."""
        end = (await self._call(self._streams.stream_info(stream))).state.last_seq
        last = attempts = 0
        while last < end and await self._is_more(stream, subject, last + 1):
            if attempts == _READ_ATTEMPTS:
                raise QueueUnavailable(f"JetStream does not bring all of {stream}: what is after {last} is missing")
            attempts += 1
            consumer = await self._call(self._consumer(stream, last + 1, headers_only=headers_only))
            try:
                async for message in self._pages(consumer):
                    last, attempts = message.metadata.sequence.stream, 0
                    yield message
            finally:
                with suppress(NatsError, OSError, TimeoutError):
                    await consumer.unsubscribe()

    async def _pages(self, consumer: JetStreamContext.PullSubscription) -> AsyncIterator[Any]:
        """What a consumer brings of what its server has now; ends before what it has lost."""
        brought, left = 0, True
        while left:
            try:
                messages = await self._call(consumer.fetch(_PAGE, timeout=_CALL_S))
            except _Silent:
                return
            unbroken = _unbroken(messages, brought)
            for message in unbroken:
                yield message
            brought += len(messages)
            left = len(unbroken) == len(messages) and bool(messages[-1].metadata.num_pending)

    async def _is_more(self, stream: str, subject: str, start: int) -> bool:
        """Whether the leader of a stream has anything from `start` on."""
        try:
            await self._stored(stream, start, subject=subject, next=True)
        except _Absent:
            return False
        return True

    async def _consumer(self, stream: str, start: int, *, headers_only: bool) -> JetStreamContext.PullSubscription:
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=start,
            ack_policy=AckPolicy.NONE,
            headers_only=headers_only,
            inactive_threshold=60.0,
            mem_storage=True,
            num_replicas=1,
        )
        info = await self._streams.add_consumer(stream, config)
        return await self._streams.pull_subscribe_bind(consumer=info.name, stream=stream)

    async def _make(self, stream: str, subject: str, *, per_subject: int, share: float) -> None:
        config = StreamConfig(
            name=stream,
            subjects=[subject],
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            num_replicas=self._replicas,
            max_bytes=int(self._max_bytes * share),
            max_msgs_per_subject=per_subject,
            duplicate_window=120,
        )
        try:
            await self._streams.add_stream(config)
        except APIError as error:
            if error.err_code != _OTHER_CONFIGURATION:
                raise
            await self._streams.update_stream(config)

    async def _publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> int:
        """The sequence number of a message that the streams keep. Raises `QueueUnavailable`."""
        why: Exception | None = None
        for _ in range(_APPEND_ATTEMPTS):
            try:
                async with self._slots:
                    answer = await self._streams.publish(subject, payload, timeout=_CALL_S, headers=headers or None)
            except (NatsError, OSError, TimeoutError) as error:
                why = error
                if isinstance(error, APIError):  # full, for one
                    break
                await asyncio.sleep(0.1)
            else:
                return int(answer.seq)
        raise QueueUnavailable(f"JetStream keeps nothing now: {why or type(why).__name__}") from why

    async def _read(self, number: int) -> QueuedEvent | None:
        found = await self._message(number)
        if found is None:
            return None
        event = _event(found.headers or {}, found.data or b"")
        if (kept := self._tried.get(number)) is not None:
            with suppress(*() if kept else (_Absent,)):
                progress, ending = await self._read_progress(number, kept)
                event = replace(event, progress=progress, ending=ending)
        return event

    async def _message(self, number: int) -> RawStreamMsg | None:
        """From the leader of the stream; None once that has come as far, and has it no more."""
        for pause in _LAGS_S:
            with suppress(_Absent):
                return await self._stored(EVENTS, number)
            if await self._has_come_to(number):
                with suppress(_Absent):  # it came between the two answers
                    return await self._stored(EVENTS, number)
                return None
            await asyncio.sleep(pause)
        raise QueueUnavailable(f"JetStream's leader does not have event {number} yet")

    async def _has_come_to(self, number: int) -> bool:
        """Whether the leader of the stream has kept an event, and maybe deleted it. Nobody waits for one unheard of."""
        return number > self._last or number <= (await self._call(self._streams.stream_info(EVENTS))).state.last_seq

    async def _stored(self, stream: str, number: int | None = None, **more: Any) -> RawStreamMsg:
        async with self._slots:
            found: RawStreamMsg = await self._call(self._streams.get_msg(stream, number, **more))
            return found

    async def _read_progress(self, number: int, kept: int) -> tuple[EventProgress, EventEnding | None]:
        """What was kept last: a leader that is behind may have an earlier one, or none. Raises `QueueUnavailable`."""
        found = await self._stored(PROGRESS, subject=f"{_PROGRESS_SUBJECT}.{number}")
        if (found.seq or 0) < kept:
            raise QueueUnavailable(f"JetStream's leader does not have the progress of event {number} yet")
        said = json.loads(found.data or b"")
        ending = said.get("ending")
        return EventProgress(**said["progress"]), decoded(ending) if ending else None

    async def _forget_progress(self, number: int) -> None:
        await self._call(self._streams._jsm.purge_stream(PROGRESS, subject=f"{_PROGRESS_SUBJECT}.{number}"))  # noqa: SLF001
        self._tried.pop(number, None)

    async def _delete(self, number: int) -> None:
        request = json.dumps({"seq": number, "no_erase": True}).encode()
        subject = f"$JS.API.STREAM.MSG.DELETE.{EVENTS}"
        answer = json.loads((await self._call(self._client.request(subject, request, timeout=_CALL_S))).data)
        error = answer.get("error")
        if error and error.get("err_code") not in (_NO_MESSAGE, _NO_SEQUENCE):
            raise QueueUnavailable(f"JetStream cannot delete: {error.get('description')}")

    async def _call(self, call: Any) -> Any:
        try:
            return await call
        except NotFoundError as error:
            if error.err_code == _NO_MESSAGE:
                raise _Absent("it is not there") from error
            raise QueueUnavailable(f"JetStream does not have it: {error.description}") from error
        except TimeoutError as error:
            raise _Silent("JetStream does not answer in time") from error
        except (NatsError, OSError) as error:
            raise QueueUnavailable(f"JetStream does not answer: {error or type(error).__name__}") from error


class _Absent(QueueUnavailable):
    """There is no such message."""


class _Silent(QueueUnavailable):
    """No server has answered in time."""


async def _log(error: Exception) -> None:
    log.info("NATS: %s", error or type(error).__name__)


def _unbroken(messages: Sequence[Any], brought: int) -> Sequence[Any]:
    """Those before the first that is not the next one of its consumer, which had `brought` as many before them."""
    for index, message in enumerate(messages):
        if message.metadata.sequence.consumer != brought + index + 1:
            return messages[:index]
    return messages


def _progress(progress: EventProgress, ending: EventEnding | None) -> bytes:
    said = {"progress": asdict(progress), "ending": encoded(ending) if ending is not None else None}
    return json.dumps(said).encode()


def _event(headers: dict[str, str], payload: bytes) -> QueuedEvent:
    said = json.loads(headers[_HEADER])
    return QueuedEvent(
        InvokedFunction(*said["target"]), said["id"], payload, EventProgress(**said["progress"]), said["headers"]
    )


def _waiting(message: Any) -> WaitingEvent:
    event = _event(message.headers, b"")
    return WaitingEvent(message.metadata.sequence.stream, event.target, event.progress.due_at)
