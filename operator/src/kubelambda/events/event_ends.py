"""The end of an event: everybody is told, then it is forgotten. A crash in between tells them twice, not never."""

import logging
import time
from dataclasses import replace

from kubelambda.core.event.delivery import Finish
from kubelambda.core.event.destination_record import LastAttempt
from kubelambda.core.event.event_ending import EventEnding, Listener, tell_again
from kubelambda.events.destinations import Destinations
from kubelambda.events.event_metrics import EventMetrics
from kubelambda.events.function_policies import EventPolicy
from kubelambda.outbound.record_sender import DestinationFailed
from kubelambda.store.event.event_queue import EventQueue, QueuedEvent

log = logging.getLogger(__name__)


class EventEnds:
    """Ends the events of a queue. Every method raises `QueueUnavailable`: the event is then as it was."""

    def __init__(self, queue: EventQueue, destinations: Destinations, metrics: EventMetrics) -> None:
        self._queue = queue
        self._destinations = destinations
        self._metrics = metrics

    async def end(
        self, number: int, event: QueuedEvent, policy: EventPolicy, finish: Finish, last: LastAttempt | None
    ) -> float | None:
        """Ends an event; when to go on with it, where somebody could not be told."""
        listeners = tuple(each for each in Listener if _address(each, policy, succeeded=finish.succeeded))
        if not listeners and not finish.succeeded:
            self._metrics.dropped(event.target.namespace, event.target.function, finish.condition.value)
        ending = EventEnding(finish.condition, time.time(), listeners, last)
        return await self.go_on(number, replace(event, progress=finish.progress), policy, ending)

    async def go_on(self, number: int, event: QueuedEvent, policy: EventPolicy, ending: EventEnding) -> float | None:
        """Tells those who are not told yet; when to try again, None when the event is forgotten."""
        untold = [each for each in ending.untold if not await self._tell(each, event, policy, ending)]
        if not untold:
            await self._queue.finish(number)
            return None
        again = tell_again(ending, untold, time.time())
        if again is None:
            log.error("event %s: nobody could be told how it ended (%s)", event.request_id, ending.condition.value)
            if not ending.succeeded:
                self._metrics.dropped(event.target.namespace, event.target.function, ending.condition.value)
            await self._queue.finish(number)
            return None
        later, due = again
        await self._queue.postpone(number, replace(event.progress, due_at=due), later)
        return due

    async def _tell(self, listener: Listener, event: QueuedEvent, policy: EventPolicy, ending: EventEnding) -> bool:
        address = _address(listener, policy, succeeded=ending.succeeded)
        if address is None:  # nobody wants to know any more
            return True
        buried = listener is Listener.DEAD_LETTER_QUEUE
        try:
            await (self._destinations.bury if buried else self._destinations.deliver)(address, event, ending)
        except DestinationFailed as error:
            log.warning("event %s: %s %s: %s", event.request_id, listener.value, address, error)
            self._metrics.not_told(event.target.namespace, event.target.function, dead_letter=buried)
            return False
        return True


def _address(listener: Listener, policy: EventPolicy, *, succeeded: bool) -> str | None:
    if listener is Listener.DEAD_LETTER_QUEUE:
        return None if succeeded else policy.dead_letter
    return policy.on_success if succeeded else policy.on_failure
