"""A queue of RabbitMQ, or of anything that speaks AMQP 0-9-1 (§7.6.2)."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import aiormq
from aiormq import spec
from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import AMQPError, InvalidFrameError
from pydantic import IPvAnyNetwork
from yarl import URL

from kubelambda.api.reasons import Reason
from kubelambda.core.mapping.mq_batch import MqMessage
from kubelambda.core.mapping.mq_place import MqPlace
from kubelambda.core.mapping.mq_record import rabbitmq_frame, rabbitmq_record
from kubelambda.outbound.guarded_streams import Stream, open_stream
from kubelambda.pollers.sources.mq_login import MqLogin, broker_problem, connect_problem
from kubelambda.pollers.sources.mq_queue import MqQueue
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable

_ANSWER_S = 30.0
_SENT_S = 15.0
"""For what is sent without an answer: when the connection ends meanwhile, the client would wait for ever."""
_HEARTBEAT_S = 15
"""A broker of which nothing is heard for three of them is gone."""
_FAULTS = (AMQPError, TimeoutError, OSError)

log = logging.getLogger(__name__)
logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # what it tells of, mappings tell of


@contextmanager
def _told() -> Iterator[None]:
    """Raises `SourceUnreachable` for what the client raises.

    Whoever waits for an answer over a connection that ends is told that he was cancelled, though nobody has done so.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise SourceUnreachable("the connection ended") from error
    except _FAULTS as error:
        raise broker_problem(error) from error


class RabbitQueue(MqQueue):
    """One queue, as `rabbit_queue` opens it."""

    lanes = 1
    redeliveries = 0
    hold_s = 600.0
    """RabbitMQ closes the channel of who keeps a message for longer than its consumer timeout: half an hour."""
    keeps = True

    def __init__(self, channel: AbstractChannel, arn: str, place: MqPlace) -> None:
        super().__init__(rabbitmq_frame(arn, place.queue, place.virtual_host))
        self._channel = channel
        self._queue = place.queue
        self._consumer = ""
        channel.on_consumer_cancel_callbacks.add(self._cancelled)
        channel.closing.add_done_callback(self._closed)

    async def begin(self, limit: int) -> None:
        """A limit is of a consumer: another begins with it. What the last one has sent stays ours.

        The new one is behind others where a queue has a single active consumer, and an auto-delete queue goes with the
        last one. Of a quorum queue, what is on its way is delivered anew, which `x-delivery-limit` counts.
        """
        with _told():
            if self._consumer:
                await self._channel.basic_cancel(self._consumer, timeout=_ANSWER_S)
            else:
                await self.waiting()
            await self._channel.basic_qos(prefetch_count=limit, timeout=_ANSWER_S)
            answer = await self._channel.basic_consume(self._queue, self._delivered, timeout=_ANSWER_S)
            self._consumer = str(answer.consumer_tag)

    async def done(self, messages: Sequence[MqMessage]) -> None:
        """One acknowledgement each: between them may be others' messages. The last has been sent when it returns."""
        self._check()
        with _told():
            async with asyncio.timeout(_SENT_S):
                for message in messages[:-1]:
                    await self._channel.basic_ack(message.handle, wait=False)
                await self._channel.basic_ack(messages[-1].handle)

    async def refuse(self, messages: Sequence[MqMessage]) -> None:
        """Back into the queue, where they came from: until they expire, or by the queue's own limit."""
        self._check()
        with _told():
            async with asyncio.timeout(_SENT_S):
                for message in messages:
                    await self._channel.basic_nack(message.handle, requeue=True)

    async def waiting(self) -> int:
        """Those that nobody was sent."""
        with _told():
            answer = await self._channel.queue_declare(self._queue, passive=True, timeout=_ANSWER_S)
        return answer.message_count or 0

    async def _delivered(self, message: DeliveredMessage) -> None:
        properties = message.header.properties
        found = {name: getattr(properties, name) for name in properties.attributes()}
        record = rabbitmq_record(found, message.body, redelivered=bool(message.redelivered))
        self._came(MqMessage(record, len(message.body), message.delivery_tag))

    def _cancelled(self, _: spec.Basic.Cancel) -> None:
        self._lost(SourceUnreachable(f"the broker has ended the reading of queue {self._queue}: it may be gone"))

    def _closed(self, closing: asyncio.Future[Any]) -> None:
        error = None if closing.cancelled() else closing.exception()
        if error is None or isinstance(error, asyncio.CancelledError):  # by nobody: nothing was heard for too long
            self._lost(SourceUnreachable("the connection ended"))
        else:
            self._lost(broker_problem(error))


class _Guarded:
    """A factory of transports: connections outside of refused networks."""

    def __init__(self, place: MqPlace, tls: ssl.SSLContext | None, refused: Sequence[IPvAnyNetwork]) -> None:
        self._place = place
        self._tls = tls
        self._refused = refused

    async def create(self, url: URL, **_: Any) -> Stream:  # noqa: ARG002 - the place has it
        """A new connection."""
        try:
            return await open_stream(self._place.host, self._place.port, self._tls, self._refused)
        except (OSError, TimeoutError) as error:
            raise connect_problem(error) from error


@asynccontextmanager
async def rabbit_queue(
    arn: str, place: MqPlace, login: MqLogin, refused: Sequence[IPvAnyNetwork] = ()
) -> AsyncIterator[RabbitQueue]:
    """A queue of a virtual host. Raises `SourceUnreachable`."""
    url = URL.build(
        scheme="amqps" if place.tls else "amqp",
        user=login.username,
        password=login.password,
        host=place.host,
        port=place.port,
        path="/" + place.virtual_host.replace("/", "%2F"),
        query={"heartbeat": str(_HEARTBEAT_S)},
        encoded=False,
    )
    factory = _Guarded(place, login.tls(place), refused)
    connection = aiormq.Connection(
        url, transport_factory=factory, client_properties={"connection_name": f"kubelambda {arn}"}
    )
    try:
        with _told():
            try:
                async with asyncio.timeout(_ANSWER_S):
                    await connection.connect()
                    channel = await connection.channel()
            except InvalidFrameError as error:  # its client has no word for it: the user is known, and may not go on
                why = f"virtual host {place.virtual_host} does not exist, or user {login.username} may not enter it"
                raise SourceUnreachable(why, reason=Reason.SOURCE_AUTHORIZATION_FAILED) from error
        yield RabbitQueue(channel, arn, place)
    finally:
        with suppress(*_FAULTS, asyncio.CancelledError):
            await asyncio.wait_for(connection.close(), _ANSWER_S)
