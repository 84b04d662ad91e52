"""The starts of one function's environments: how often they begin, and what becomes of them."""

import asyncio
import logging
import math
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


class _Attempt:
    """One start: when it began, which is anew when its turn has come, and whether it tries for all others."""

    def __init__(self, number: int, backoff: StartBackoff) -> None:
        self.number = number
        self._backoff = backoff
        self._probes = False
        self.begun = -math.inf

    def admit(self) -> None:
        """It begins. Raises `_Refused` where others failed since it did so last, and it is not time for another."""
        if not self._probes and self._backoff.failed_since(self.begun):
            refusal = self._backoff.refusal(time.monotonic(), self.number)
            if refusal is not None:
                raise _Refused(refusal)
            self._probes = self._backoff.is_probe(self.number)
        # What fails while others wait for their turn is no failure side by side with theirs.
        self.begun = time.monotonic()


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
        attempt = _Attempt(number, backoff)
        try:
            attempt.admit()
            started = await self._starter.start(target, self._watcher(attempt), own_pod=own_pod)
        except _Refused as error:
            self._events.start_failed(number, error.answer)
        except StartFailed as error:
            log.info("function %s/%s does not start: %s", target.namespace, target.name, error)
            backoff.failed(error.answer, number, attempt.begun, time.monotonic())
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

    def _watcher(self, attempt: _Attempt) -> Watcher:
        events, number = self._events, attempt.number

        def begin() -> bool:
            if not events.begun(number):
                return False
            attempt.admit()
            return True

        return Watcher(
            begin=begin,
            lost=lambda _: events.connection_lost(number),
            claim_lost=lambda: events.claim_lost(number),
            misplaced=lambda: events.misplaced(number),
        )
