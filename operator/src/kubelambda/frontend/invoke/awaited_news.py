"""Requests that wait for the caches to hear what Kubernetes may know already (`docs/decisions/0045`)."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.core.invoke.waiting_room import WaitingRoom
from kubelambda.kube.reflector import Name
from kubelambda.wire.request import Request

_WAITED = b":waited"
"""No header that a caller could send."""


@dataclass(eq=False)
class NotYet(Exception):
    """A function is being created, or an alias of it, or nobody is known to run it, as far as the caches have heard.

    `error`: if nothing follows.
    """

    error: InvokeError
    function: Name
    still: Callable[[], bool]
    """Whether nothing has followed yet."""


@dataclass(frozen=True, slots=True, eq=False)
class _Guest:
    """A request that waits, and how it goes on."""

    request: Request
    still: Callable[[], bool]
    again: Callable[[], None]


class AwaitedNews:
    """Has requests wait: each for a moment, few of an account, and counted by nobody meanwhile."""

    def __init__(self) -> None:
        self._room: WaitingRoom[_Guest] = WaitingRoom()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._room)

    def wait(self, request: Request, not_yet: NotYet, again: Callable[[], None]) -> bool:
        """Calls `again` once there is news, or has been none for too long.

        False for a request that has waited before, and when too many wait.
        """
        if _WAITED in request.headers:
            return False
        function = not_yet.function
        if self._room.full(function[0]):
            _go_on(self._room.leave(function[0], lambda guest: not guest.request.alive))
            if self._room.full(function[0]):
                return False
        request.headers[_WAITED] = b""
        self._room.enter(function, _Guest(request, not_yet.still, again), time.monotonic())
        self._arm()
        return True

    def heard(self, function: Name) -> None:
        """The caches have heard something of a function, or of an alias of it."""
        _go_on(self._room.heard(function, lambda guest: not guest.still()))

    def heard_by_all(self) -> None:
        """The caches have heard something that is not of one function alone."""
        _go_on(self._room.heard_by_all(lambda guest: not guest.still()))

    def _arm(self) -> None:
        due = self._room.next_at
        if self._timer is None and due is not None:
            self._timer = asyncio.get_running_loop().call_later(due - time.monotonic(), self._look)

    def _look(self) -> None:
        self._timer = None
        late = self._room.overdue(time.monotonic())
        self._arm()
        _go_on(late)


def _go_on(guests: list[_Guest]) -> None:
    for guest in guests:
        if guest.request.alive:
            guest.again()
        else:  # it would run for nobody
            guest.request.abort()
