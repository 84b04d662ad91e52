"""Calls that have to be made whatever happens to the API server: again and again, more and more rarely."""

import asyncio
from collections.abc import Awaitable, Callable

from kubelambda.kube.errors import Forbidden, Overloaded, Unreachable
from kubelambda.kube.jitter import spread

_PAUSE_S = 0.25
PAUSE_MAX_S = 5.0
REFUSALS = 8
"""Half a minute: longer than a new role needs to be known everywhere."""


async def through_outage[T](call: Callable[[], Awaitable[T]], *, refusals: int = 0) -> T:
    """What `call` returns, or raises other than that the API server is away or overloaded: then it is made again.

    `refusals`: how often a 403 is taken for a role that is only on its way, as it is in a namespace that is new to us.
    """
    pause = _PAUSE_S
    while True:
        try:
            return await call()
        except (Unreachable, Overloaded):
            pass
        except Forbidden:
            if refusals <= 0:
                raise
            refusals -= 1
        await asyncio.sleep(spread(pause))
        pause = min(PAUSE_MAX_S, pause * 2)
