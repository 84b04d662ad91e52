"""Where the outcome of events goes, by the service that a destination's ARN names (§6.7)."""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from kubelambda.core.account.identity import parse_reference
from kubelambda.core.event.delivery import accepted
from kubelambda.store.event.event_queue import EventQueue, EventTarget, QueuedEvent, QueueUnavailable


class DestinationFailed(Exception):
    """A destination did not take a record; the message says why."""


class Destinations:
    """Delivers records. A function as destination is invoked asynchronously, with the record as its event."""

    def __init__(self, queue: EventQueue, on_accepted: Callable[[int, QueuedEvent], None]) -> None:
        self._queue = queue
        self._on_accepted = on_accepted

    async def deliver(self, destination: str, record: dict[str, Any], event: QueuedEvent) -> None:
        """Delivers the record of `event`. Raises `DestinationFailed`."""
        target = parse_reference(destination)
        source = parse_reference(event.headers["x-kubelambda-arn"])
        if target is None or source is None:
            raise DestinationFailed("only functions are destinations in this release")
        if target.account != source.account:
            raise DestinationFailed("a function of another account cannot be a destination in this release")
        following = QueuedEvent(
            EventTarget(event.target.namespace, target.name, target.qualifier or ""),
            str(uuid.uuid4()),
            json.dumps(record).encode(),
            accepted(time.time()),
            {**event.headers, "x-kubelambda-arn": destination},
        )
        try:
            number = await self._queue.append(following)
        except QueueUnavailable as error:
            raise DestinationFailed(str(error)) from error
        self._on_accepted(number, following)
