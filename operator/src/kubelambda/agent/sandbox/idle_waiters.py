"""Who waits until an environment is not busy any more (`Prefer: wait` of `/state`)."""

from collections.abc import Callable

from kubelambda.wire.event_loop import EventLoop, Timer


class IdleWaiters:
    """Callbacks that are made once: when told so, or when their time is over."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._waiting: dict[Timer, Callable[[], None]] = {}

    def add(self, seconds: float, tell: Callable[[], None]) -> None:
        """Calls `tell` with the next `tell_all`, or after `seconds`."""

        def late() -> None:
            del self._waiting[timer]
            tell()

        timer = self._loop.call_later(seconds, late)
        self._waiting[timer] = tell

    def tell_all(self) -> None:
        """The environment is not busy any more."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        for timer, tell in waiting.items():
            timer.cancel()
            tell()
