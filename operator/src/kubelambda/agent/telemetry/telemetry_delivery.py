"""Brings one extension what it subscribed to: batch after batch, and never so that anything else waits (§4.2.2)."""

from collections.abc import Callable
from time import monotonic, time

from kubelambda.agent.telemetry.telemetry_destination import TelemetryDestination, destination
from kubelambda.core.telemetry.telemetry_buffer import TelemetryBuffer, retry_after
from kubelambda.core.telemetry.telemetry_events import TelemetryEvent, encoded, logs_dropped
from kubelambda.core.telemetry.telemetry_subscription import TelemetrySubscription
from kubelambda.wire.event_loop import EventLoop, Timer


class TelemetryDelivery:
    """The events of one subscriber. While its process is not there, they wait for it."""

    def __init__(self, wanted: TelemetrySubscription, loop: EventLoop) -> None:
        self.wanted = wanted
        self._loop = loop
        self._buffer = TelemetryBuffer(wanted.max_items, wanted.max_bytes, wanted.timeout_s)
        self._destination: TelemetryDestination = destination(wanted, loop)
        self._batch: list[bytes] = []
        self._failures = 0
        self._paused = False
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._retry: Timer | None = None
        self._waiting: list[Callable[[], None]] = []

    @property
    def empty(self) -> bool:
        """Whether all that came has arrived, or is lost."""
        return self._buffer.empty

    def add(self, event: TelemetryEvent) -> None:
        """An event, if it is for this subscriber."""
        for each in encoded(event, self.wanted):
            self._buffer.add(each, monotonic())
            if self._buffer.full:
                self._look()
        self._schedule()

    def flush(self) -> None:
        """Sends what is here, once whatever happens now has happened."""
        self._buffer.flush()
        self._schedule()

    def when_settled(self, then: Callable[[], None]) -> None:
        """Calls `then` once all has been sent, or could not be: it is tried again then, but need not be waited for."""
        if self._settled:
            then()
        else:
            self._waiting.append(then)

    def pause(self) -> None:
        """The subscriber's process has ended. What it did not acknowledge is sent again."""
        self._paused = True
        self._destination.close()
        self._cancel_retry()
        self._tell_settled()

    def resume(self, wanted: TelemetrySubscription | None = None) -> None:
        """It is there again, and listens as before or as `wanted`."""
        if wanted is not None:
            self.wanted = wanted
            self._buffer.resize(wanted.max_items, wanted.max_bytes, wanted.timeout_s)
            self._destination.close()
            self._destination = destination(wanted, self._loop)
        elif not self._paused:
            return
        self._paused = False
        self._cancel_retry()
        if self._batch:
            self._failures = 0
            self._send()
        else:
            if self._buffer.full:  # the next event would drop it
                self._look()
            self._schedule()

    def close(self) -> None:
        """Nothing is sent any more."""
        self.pause()
        if self._timer is not None:
            self._timer.cancel()

    # -- inside -------------------------------------------------------------------------------------------------------

    @property
    def _settled(self) -> bool:
        return self._paused or self._retry is not None or self.empty

    def _schedule(self) -> None:
        """Looks again when a batch is due."""
        due = self._buffer.due_at()
        if self._paused or due is None or (self._timer is not None and self._timer_at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_later(max(0.0, due - monotonic()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._look()
        self._schedule()

    def _look(self) -> None:
        """Sends a batch if one is due, and first in it what was dropped before.

        Never that alone: somebody who is gone would be told of what could not be told him, for ever.
        """
        now, due = monotonic(), self._buffer.due_at()
        if self._paused or due is None or now < due:
            return
        if (dropped := self._buffer.take_dropped()) is not None:
            for each in encoded(logs_dropped(time(), dropped), self.wanted):
                self._buffer.put_first(each)
        self._batch, self._failures = self._buffer.take(now), 0
        self._send()

    def _send(self) -> None:
        self._retry = None
        self._destination.send(self._batch, self._told)

    def _told(self, why: str) -> None:
        """What became of the batch."""
        if not why:
            self._buffer.sent()
        elif (seconds := retry_after(self._failures)) is not None:
            self._failures += 1
            self._retry = self._loop.call_later(seconds, self._send)
            self._tell_settled()
            return
        else:
            self._buffer.lost(f"The events could not be delivered: {why}")
        self._batch = []
        self._look()
        self._schedule()
        if self._settled:
            self._tell_settled()

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _tell_settled(self) -> None:
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()
