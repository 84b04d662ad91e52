"""Callers who wait for a cache to hear what Kubernetes may know already (`docs/decisions/0045`)."""

import asyncio
from collections.abc import Callable

from kubelambda.core.invoke import waiting_room


class LateNews:
    """Of what only an event tells, as nobody can ask for it by a name: each waits for a moment, and few at a time."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, is_known: Callable[[], bool]) -> None:
        """Returns once something is known, or was not for a moment; at once when too many wait."""
        if len(self._waiting) >= waiting_room.WAITING_MAX or is_known():
            return
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[told] = is_known
        try:
            await asyncio.wait([told], timeout=waiting_room.WAIT_S)
        finally:
            del self._waiting[told]

    def heard(self) -> None:
        """The cache has heard something."""
        for told, is_known in self._waiting.items():
            if not told.done() and is_known():
                told.set_result(None)
