"""What a poller needs of a broker's queue, whatever the broker speaks."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

from kubelambda.core.mapping.mq_batch import MqMessage
from kubelambda.core.mapping.mq_record import EventFrame
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable


class MqQueue(ABC):
    """One queue. What it has sent and nobody acknowledged comes again once the connection is closed."""

    lanes: ClassVar[int]
    """Batches at the function at once (§7.1)."""
    redeliveries: ClassVar[int]
    """How often a batch that failed is tried again before the broker hears of it."""
    hold_s: ClassVar[float]
    """For how long messages may be kept without a word to the broker."""
    keeps: ClassVar[bool]
    """Whether what it has sent stays ours when it begins anew."""

    def __init__(self, frame: EventFrame) -> None:
        self.frame = frame
        self._inbox: deque[MqMessage] = deque()
        self._news = asyncio.Event()
        self._fault: SourceUnreachable | None = None
        self._woken = False

    @abstractmethod
    async def begin(self, limit: int) -> None:
        """Has the broker send, up to `limit` messages that are not acknowledged. Raises `SourceUnreachable`.

        Called again for another limit: with nothing on its way from the broker if it `keeps` what that has sent, else
        with no batch on its way to the function.
        """

    @abstractmethod
    async def done(self, messages: Sequence[MqMessage]) -> None:
        """Acknowledges messages: they are gone. Raises `SourceUnreachable`."""

    @abstractmethod
    async def refuse(self, messages: Sequence[MqMessage]) -> None:
        """Leaves messages that failed to the broker. Raises `SourceUnreachable`."""

    @abstractmethod
    async def waiting(self) -> int | None:
        """Messages that wait, if the broker tells. Raises `SourceUnreachable`."""

    @property
    def held(self) -> int:
        """Messages that are there already."""
        return len(self._inbox)

    async def receive(self, wait_s: float | None) -> MqMessage | None:
        """The next message; None after `wait_s` without one, or once woken. Raises `SourceUnreachable`."""
        if not self._inbox and self._fault is None and not self._woken:
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), wait_s)
        if self._fault is not None:
            raise self._fault
        return self._inbox.popleft() if self._inbox else None

    def put_back(self, message: MqMessage) -> None:
        """It is the next to be received."""
        self._inbox.appendleft(message)

    def wake(self) -> None:
        """Whoever waits for a message does so no longer, nor does anybody from now on."""
        self._woken = True
        self._news.set()

    def _came(self, message: MqMessage) -> None:
        self._inbox.append(message)
        self._news.set()

    def _lost(self, fault: SourceUnreachable) -> None:
        """Nothing more comes, and nothing can be acknowledged."""
        self._fault = self._fault or fault
        self._news.set()

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault
