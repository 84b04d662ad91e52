"""Calls that have to be made whatever happens to the API server: again and again, more and more rarely."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from kubelambda.kube.errors import Overloaded, Unreachable

_PAUSE_S = 0.25
PAUSE_MAX_S = 5.0


async def through_outage[T](call: Callable[[], Awaitable[T]]) -> T:
    """What `call` returns, or raises other than that the API server is away or overloaded: then it is made again."""
    pause = _PAUSE_S
    while True:
        try:
            return await call()
        except (Unreachable, Overloaded):
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, keeps no secret
            pause = min(PAUSE_MAX_S, pause * 2)
