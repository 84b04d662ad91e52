"""What works one mapping, whatever its source is, and what makes it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from kubelambda.pollers.batch_room import MappingRoom
from kubelambda.pollers.function_invoker import FunctionInvoker
from kubelambda.pollers.mapping_report import MappingReport
from kubelambda.pollers.mapping_view import MappingView
from kubelambda.pollers.poller_metrics import PollerMetrics


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

    @property
    def account(self) -> str:
        """The account of the mapping and of its function."""
        return self.view.function_arn.split(":")[4]


class Poller(ABC):
    """Reads a source and invokes a function until it is told to end."""

    def __init__(self, work: MappingWork) -> None:
        self._view = work.view
        self._invoker = work.invoker
        self._report = work.report
        self._metrics = work.metrics
        self._timeout_s = work.timeout_s
        self._room = work.room

    @abstractmethod
    async def run(self) -> None:
        """Works until stopped. Raises `SourceUnreachable`, once nothing is under way any more."""

    @abstractmethod
    def stop(self) -> None:
        """Begins nothing new; what runs comes to its end."""

    def _tell(self, what: str, count: int) -> None:
        self._metrics.events(self._view.namespace, self._view.name, what, count)


class PollerMaker(Protocol):
    """Makes the poller of a mapping, with its client of the source."""

    def open(
        self, view: MappingView, report: MappingReport, timeout_s: Callable[[], int]
    ) -> AbstractAsyncContextManager[Poller]:
        """The poller, until its client is closed. Raises `SourceUnreachable` or `CredentialsMissing`."""
