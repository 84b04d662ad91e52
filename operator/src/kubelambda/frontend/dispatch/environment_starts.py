"""The starts of one function's environments: how often they begin, and what becomes of them."""

import asyncio
import logging
import time
from typing import Protocol

from kubelambda.core.environment.start_backoff import StartBackoff
from kubelambda.core.invoke import invoke_error
from kubelambda.frontend.cold_start.start import FailureAnswer, NotStarted, Started, StartFailed, Target, Watcher
from kubelambda.frontend.cold_start.starter import Starter
from kubelambda.wire.background_tasks import BackgroundTasks

_RETRY_S = 0.5
_RETRY_MAX_S = 5.0

log = logging.getLogger(__name__)


class StartEvents(Protocol):
    """What a start tells of itself. Starts go by the numbers that placement gave them."""

    def begun(self, number: int) -> bool:
        """A pod is about to be taken or made: False when nobody waits for it any more."""

    def started(self, number: int, started: Started, target: Target) -> None:
        """An environment of `target` is ready."""

    def start_failed(self, number: int, answer: FailureAnswer | None) -> None:
        """No environment came of it; `answer` goes to one caller, None asks for another start."""

    def connection_lost(self, number: int) -> None:
        """The connection to an environment ended."""

    def claim_lost(self, number: int) -> None:
        """The pod of an environment is somebody else's."""

    def misplaced(self, number: int) -> None:
        """The node of an environment does not give it its size."""


class _Refused(StartFailed):
    """The function's last starts failed, and it is not time for another."""


class EnvironmentStarts:
    """Starts that fail for the function's own sake begin more and more rarely; their callers get its last failure."""

    def __init__(self, starter: Starter, events: StartEvents) -> None:
        self._starter = starter
        self._events = events
        self._tasks = BackgroundTasks()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._revision = ""
        self._backoff = StartBackoff()
        self._failures = 0

    def begin(self, number: int, target: Target, *, own_pod: bool) -> None:
        """Starts an environment in the background. `own_pod`: none out of a pool."""
        if target.configuration.revision != self._revision:
            self._revision, self._backoff = target.configuration.revision, StartBackoff()
        task = self._tasks.start(self._run(number, target, self._backoff, own_pod=own_pod))
        self._running[number] = task
        task.add_done_callback(lambda _: self._running.pop(number, None))

    def cancel(self, number: int) -> None:
        """Ends a start that has not begun: nothing was taken or made for it.

        It would find out by itself, but only once it is its turn: where environments start slowly, every request that
        another one takes meanwhile would leave a start behind it in that queue.
        """
        if (task := self._running.get(number)) is not None:
            task.cancel()

    async def _run(self, number: int, target: Target, backoff: StartBackoff, *, own_pod: bool) -> None:
        begun = time.monotonic()
        try:
            probe = _admit(backoff, number)
            watcher = self._watcher(number, backoff, begun, probe=probe)
            started = await self._starter.start(target, watcher, own_pod=own_pod)
        except _Refused as error:
            self._events.start_failed(number, error.answer)
        except StartFailed as error:
            log.info("function %s/%s does not start: %s", target.namespace, target.name, error)
            backoff.failed(error.answer, number, begun, time.monotonic())
            self._events.start_failed(number, error.answer)
        except NotStarted as error:
            backoff.ended(number)
            log.warning("function %s/%s: %s", target.namespace, target.name, error)
            await asyncio.sleep(min(_RETRY_MAX_S, _RETRY_S * 2.0 ** min(self._failures, 8)))
            self._failures += 1
            self._events.start_failed(number, None)
        except asyncio.CancelledError:
            backoff.ended(number)
            raise
        except Exception:
            backoff.ended(number)
            log.exception("a start of function %s/%s failed", target.namespace, target.name)
            why = "the environment could not be started; the frontend's log says why"
            self._events.start_failed(number, invoke_error.service(why))
        else:
            if started is None:
                backoff.ended(number)
                return
            self._failures = 0
            backoff.succeeded()
            self._events.started(number, started, target)

    def _watcher(self, number: int, backoff: StartBackoff, begun: float, *, probe: bool) -> Watcher:
        events = self._events

        def begin() -> bool:
            if not events.begun(number):
                return False
            nonlocal probe
            if not probe and backoff.failed_since(begun):  # while this one waited for its turn
                probe = _admit(backoff, number)
            return True

        return Watcher(
            begin=begin,
            lost=lambda _: events.connection_lost(number),
            claim_lost=lambda: events.claim_lost(number),
            misplaced=lambda: events.misplaced(number),
        )


def _admit(backoff: StartBackoff, number: int) -> bool:
    """Whether the start is the one that tries for all others. Raises `_Refused`."""
    refusal = backoff.refusal(time.monotonic(), number)
    if refusal is not None:
        raise _Refused(refusal)
    return backoff.is_probe(number)
