"""What a caller is told whose environment ended in the middle of its invocation."""

import asyncio
import time
from collections.abc import Callable

from kubelambda.core.invoke import invoke_error
from kubelambda.frontend.dispatch.environment_end import EnvironmentEnd
from kubelambda.frontend.dispatch.invocation import Invocation

_OOM_WAIT_S = 1.0


async def error_of(invocation: Invocation, end: EnvironmentEnd, killed_by_memory: Callable[[], bool]) -> bytes:
    """The function error. Kubernetes needs a moment to say that it was the memory."""
    deadline = time.monotonic() + _OOM_WAIT_S
    killed = False
    while not killed and time.monotonic() < deadline and end.may_be_memory:
        await asyncio.sleep(0.1)
        killed = killed_by_memory()
    if killed:
        return invoke_error.out_of_memory(invocation.id)
    return invoke_error.sandbox_failure(invocation.id, end.text)
