"""What works one mapping, whatever its source is, and what makes it."""

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Protocol

from kubelambda.pollers.batch_room import MappingRoom
from kubelambda.pollers.function_invoker import FunctionInvoker, InvokeOutcome, InvokeResult
from kubelambda.pollers.mapping_report import MappingReport
from kubelambda.pollers.mapping_view import MappingView
from kubelambda.pollers.poller_metrics import PollerMetrics

_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 5.0


@dataclass(frozen=True, slots=True)
class MappingWork:
    """A mapping, and what its poller needs beside a client of its source."""

    view: MappingView
    invoker: FunctionInvoker
    report: MappingReport
    metrics: PollerMetrics
    timeout_s: Callable[[], int]
    """How long the function may take now."""
    room: MappingRoom


class Poller(ABC):
    """Reads a source and invokes a function until it is told to end."""

    def __init__(self, work: MappingWork) -> None:
        self._view = work.view
        self._invoker = work.invoker
        self._report = work.report
        self._metrics = work.metrics
        self._timeout_s = work.timeout_s
        self._room = work.room
        self._ended = asyncio.Event()

    @abstractmethod
    async def run(self) -> None:
        """Works until stopped. Raises `SourceUnreachable`, once nothing is under way any more."""

    @abstractmethod
    def stop(self) -> None:
        """Begins nothing new; what runs comes to its end."""

    async def _invoke(self, event: bytes, until: float, trace: str = "") -> InvokeResult:
        """Tries again while the function is throttled, and what it is to get is ours: until then, monotonic."""
        pause = _BACKOFF_FIRST_S
        while True:
            result = await self._invoker.invoke(self._view.function_arn, event, self._timeout_s(), trace)
            if result.outcome is not InvokeOutcome.TURNED_DOWN:
                return result
            self._turned_down()
            wait = pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
            if self._ended.is_set() or time.monotonic() + wait >= until:
                return result
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), wait)
            pause = min(_BACKOFF_MAX_S, pause * 2)

    def _turned_down(self) -> None:
        """Throttled, or no frontend could have it run."""
        self._metrics.throttled(self._view.namespace, self._view.name)

    def _tell(self, what: str, count: int) -> None:
        self._metrics.events(self._view.namespace, self._view.name, what, count)


class PollerMaker(Protocol):
    """Makes the poller of a mapping, with its client of the source."""

    def open(
        self, view: MappingView, report: MappingReport, timeout_s: Callable[[], int]
    ) -> AbstractAsyncContextManager[Poller]:
        """The poller, until its client is closed. Raises `SourceUnreachable` or `CredentialsMissing`."""
