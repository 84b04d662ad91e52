"""A queue of ActiveMQ, or of anything that speaks STOMP 1.2 (§7.6.1)."""

import logging
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast
from urllib.parse import quote

import stompman
from pydantic import IPvAnyNetwork
from stompman.connection import Connection
from stompman.errors import ConnectionLostError, FailedAllConnectAttemptsError, FailedAllWriteAttemptsError
from stompman.frames import AnyServerFrame

from kubelambda.core.mapping.mq_batch import MqMessage
from kubelambda.core.mapping.mq_place import MqPlace
from kubelambda.core.mapping.mq_record import activemq_frame, activemq_record, activemq_redelivered
from kubelambda.outbound.guarded_streams import open_stream
from kubelambda.pollers.sources.mq_login import MqLogin, broker_problem, connect_problem
from kubelambda.pollers.sources.mq_queue import MqQueue
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable

_ANSWER_S = 10
_HEARTBEAT_MS = 10_000
_RETURNED_MAX = 10_000
_CHUNK_BYTES = 64 << 10
"""Parsed at once: the parser is slow, and others wait for it."""

logging.getLogger("stompman").setLevel(logging.CRITICAL)  # what it tells of, mappings tell of


class ActiveQueue(MqQueue):
    """One queue, as `active_queue` opens it."""

    lanes = 5
    redeliveries = 5
    """As a redelivery policy has it that says nothing: the sixth failure leaves messages to the dead letter queue."""
    hold_s = float("inf")
    keeps = False

    def __init__(self, client: stompman.Client, arn: str, place: MqPlace) -> None:
        super().__init__(activemq_frame(arn))
        self._client = client
        self._destination = f"/queue/{place.queue}"
        self._subscription: stompman.ManualAckSubscription | None = None
        self._begun = 0
        """How many subscriptions there have been."""
        self._returned: dict[str, bool] = {}
        """Messages that went back with one of them unseen: whether they had been delivered before that."""

    async def begin(self, limit: int) -> None:
        """A limit is of a subscription. What the last one has sent, and nobody took, goes back and comes again."""
        await self.end()
        self._begun += 1
        if len(self._returned) > _RETURNED_MAX:
            self._returned.clear()
        self._returned |= {each.record["messageID"]: each.record["redelivered"] for each in self._inbox}
        self._inbox.clear()
        try:
            self._subscription = await self._client.subscribe_with_manual_ack(
                self._destination,
                partial(self._delivered, self._begun),
                headers={"activemq.prefetchSize": str(limit)},
                receipt_timeout=_ANSWER_S,
                on_subscription_error=lambda error: self.lost(str(error)),
            )
        except stompman.SubscriptionError as error:
            if error.frame is None:
                raise SourceUnreachable(f"the queue cannot be subscribed to: {error.reason}") from error
            raise broker_problem(ConnectionError(error.frame.headers.get("message", ""))) from error
        except (FailedAllConnectAttemptsError, FailedAllWriteAttemptsError) as error:
            raise SourceUnreachable("the connection ended") from error

    async def end(self) -> None:
        """Nothing more is sent; what is not acknowledged goes back."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()
            self._subscription = None

    async def done(self, messages: Sequence[MqMessage]) -> None:
        """One acknowledgement each."""
        for message in messages:
            self._check()
            await message.handle.ack()
        self._check()

    async def refuse(self, messages: Sequence[MqMessage]) -> None:
        """To the broker's dead letter queue, where its policy has one for them."""
        for message in messages:
            self._check()
            await message.handle.nack()
        self._check()

    async def waiting(self) -> None:
        """STOMP has no word for it; whether the broker is still there is known by its heartbeats."""
        if not self._client.is_alive():
            self.lost("nothing is heard of the broker any more")
        self._check()

    def lost(self, why: str, told: str = "") -> None:
        """Nothing more comes, because of what the broker `told`, if it did."""
        self._lost(broker_problem(ConnectionError(told)) if told else SourceUnreachable(why))

    async def _delivered(self, begun: int, frame: stompman.AckableMessageFrame) -> None:
        headers = cast("dict[str, str]", frame.headers)
        if begun != self._begun:  # the client had read it before its subscription ended: it comes again
            self._returned.setdefault(headers["message-id"], activemq_redelivered(headers))
            return
        record = activemq_record(headers, frame.body, int(time.time() * 1000))
        record["redelivered"] = self._returned.pop(record["messageID"], record["redelivered"])
        handle = replace(frame, body=b"")  # the record has it: of hundreds that are sent ahead each is kept once
        self._came(MqMessage(record, len(frame.body), handle, expires_ms=record["expiration"]))


class _WatchedConnection(Connection):  # type: ignore[misc]
    """Tells how it ends."""

    dialler: "_Dialler"

    async def read_frames(self) -> AsyncGenerator[AnyServerFrame, None]:
        """The frames of the broker."""
        try:
            async for frame in super().read_frames():
                if isinstance(frame, stompman.ErrorFrame):
                    self.dialler.told = frame.headers.get("message", "") or frame.body.decode(errors="replace")
                yield frame
        except ConnectionLostError as error:
            self.dialler.ended(str(error.reason))
            raise


class _Dialler:
    """Makes the one connection of a queue. Once it is lost there is no other: its messages are not ours any more."""

    def __init__(self, place: MqPlace, tls: ssl.SSLContext | None, refused: Sequence[IPvAnyNetwork]) -> None:
        self._place = place
        self._tls = tls
        self._refused = refused
        self._used = False
        self.queue: ActiveQueue | None = None
        self.told = ""
        """What the broker said last against us."""

    async def connect(self, *, read_max_chunk_size: int, **_: Any) -> Connection | None:
        """The connection, the first time."""
        if self._used:
            return None
        self._used = True
        try:
            reader, writer = await open_stream(self._place.host, self._place.port, self._tls, self._refused)
        except (OSError, TimeoutError) as error:
            raise connect_problem(error) from error
        made = _WatchedConnection(reader=reader, writer=writer, read_max_chunk_size=read_max_chunk_size, ssl=self._tls)
        made.dialler = self
        return made

    def ended(self, why: str) -> None:
        """The connection was lost."""
        if self.queue is not None:
            self.queue.lost(f"the connection ended: {why}", self.told)


@asynccontextmanager
async def active_queue(
    arn: str, place: MqPlace, login: MqLogin, refused: Sequence[IPvAnyNetwork] = ()
) -> AsyncIterator[ActiveQueue]:
    """A queue. Raises `SourceUnreachable`."""
    dialler = _Dialler(place, login.tls(place), refused)
    client = stompman.Client(
        [stompman.ConnectionParameters(place.host, place.port, login.username, quote(login.password))],
        connection_class=cast("type[Connection]", dialler),
        heartbeat=stompman.Heartbeat(_HEARTBEAT_MS, _HEARTBEAT_MS),
        connect_retry_attempts=1,
        write_retry_attempts=1,
        connection_confirmation_timeout=_ANSWER_S,
        read_max_chunk_size=_CHUNK_BYTES,
        no_message_restart_interval=None,
        keep_alive_on_connection_failure=True,
        max_concurrent_handlers=None,
    )
    try:
        await client.__aenter__()
    except FailedAllConnectAttemptsError as error:
        if not dialler.told:
            raise SourceUnreachable("what is there does not speak STOMP 1.2") from error
        raise broker_problem(ConnectionError(dialler.told)) from error
    try:
        queue = dialler.queue = ActiveQueue(client, arn, place)
        try:
            yield queue
        finally:
            await queue.end()
    finally:
        await client.__aexit__(None, None, None)
