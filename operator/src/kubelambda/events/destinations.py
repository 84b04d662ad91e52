"""Tells whoever is to be told how an event ended: its destination, and its dead-letter queue (§6.6, §6.7)."""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from kubelambda.core.account.identity import parse_reference, unqualified
from kubelambda.core.event.delivery import Finish, accepted
from kubelambda.core.event.destination import (
    DestinationService,
    OutgoingRecord,
    async_object_key,
    parse_destination,
)
from kubelambda.core.event.destination_record import EndedEvent, dead_letter_attributes, destination_record
from kubelambda.core.event.event_ending import EventEnding
from kubelambda.core.function.object_name import object_names
from kubelambda.core.invoke import lineage
from kubelambda.outbound.record_sender import DestinationFailed, RecordSender
from kubelambda.store.event.event_queue import EventQueue, InvokedFunction, QueuedEvent, QueueUnavailable

ARN = "x-kubelambda-arn"
TRACE = "x-amzn-trace-id"


class Destinations:
    """Everything but functions is reached by `sender`. A function is invoked with the record, asynchronously."""

    def __init__(
        self, queue: EventQueue, sender: RecordSender, on_accepted: Callable[[int, QueuedEvent], None]
    ) -> None:
        self._queue = queue
        self._sender = sender
        self._on_accepted = on_accepted

    async def deliver(self, destination: str, event: QueuedEvent, ending: EventEnding) -> None:
        """Delivers the record of version 1.0. Raises `DestinationFailed`."""
        now = datetime.now(UTC)
        ended = _ended(event, ending)
        body = destination_record(ended, now)
        named = parse_destination(destination)
        if named is not None and named.service is DestinationService.FUNCTION:
            await self._invoke(destination, body, event)
            return
        function = event.headers[ARN].split(":")[6]
        record = OutgoingRecord(
            body,
            id=event.request_id,
            source=ended.function_arn,
            kind="Success" if ending.succeeded else "Failure",
            at=now,
            object_key=async_object_key(function, now, str(uuid.uuid4())),
            trace=_trace(event),
        )
        await self._sender.send(event.target.namespace, destination, record)

    async def bury(self, target: str, event: QueuedEvent, ending: EventEnding) -> None:
        """Delivers the event itself to a dead-letter queue or topic. Raises `DestinationFailed`."""
        ended = _ended(event, ending)
        record = OutgoingRecord(
            event.payload.decode(errors="replace"),
            id=event.request_id,
            source=ended.function_arn,
            kind="Failure",
            at=datetime.now(UTC),
            attributes=dead_letter_attributes(ended),
            trace=_trace(event),
        )
        await self._sender.send(event.target.namespace, target, record)

    async def _invoke(self, destination: str, body: str, event: QueuedEvent) -> None:
        target, source = parse_reference(destination), parse_reference(event.headers[ARN])
        if target is None or source is None or target.account != source.account:
            raise DestinationFailed("a function of another account cannot be a destination")
        following = QueuedEvent(
            InvokedFunction(event.target.namespace, object_names(target.name)[0], target.qualifier or ""),
            str(uuid.uuid4()),
            body.encode(),
            accepted(time.time()),
            {**event.headers, ARN: destination, TRACE: _trace(event)},
        )
        try:
            number = await self._queue.append(following)
        except QueueUnavailable as error:
            raise DestinationFailed(str(error)) from error
        self._on_accepted(number, following)


def _trace(event: QueuedEvent) -> str:
    """With one more run of the event's function in the chain: what follows from it came by way of it."""
    return lineage.advanced(event.headers.get(TRACE, ""), lineage.mark(unqualified(event.headers[ARN])))


def _ended(event: QueuedEvent, ending: EventEnding) -> EndedEvent:
    arn = event.headers[ARN]
    qualified = arn if event.target.qualifier else f"{arn}:$LATEST"
    finish = Finish(ending.condition, event.progress)
    return EndedEvent(event.request_id, qualified, event.payload, finish, ending.last)
