"""Waiting for what another process, or another task, brings about."""

import asyncio
from collections.abc import Callable
from typing import Any


async def eventually(holds: Callable[[], Any], seconds: float = 60) -> Any:
    """What `holds` returns once that is true; it may be a coroutine function."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        found = holds()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert asyncio.get_running_loop().time() < deadline, "it never came true"
        await asyncio.sleep(0.05)
