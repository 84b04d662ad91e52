"""What a caller is told whose environment ended in the middle of its invocation."""

import asyncio
import time
from collections.abc import Callable

from kubelambda.core.invoke import invoke_error
from kubelambda.frontend.dispatch.environment_end import EnvironmentEnd
from kubelambda.frontend.dispatch.invocation import Invocation

_WAIT_S = 1.0


async def error_of(invocation: Invocation, end: EnvironmentEnd, why_ended: Callable[[], str]) -> bytes:
    """The function error. Kubernetes needs a moment to say that it was the memory, or /tmp."""
    deadline = time.monotonic() + _WAIT_S
    why = ""
    while not why and time.monotonic() < deadline and end.may_be_pod:
        await asyncio.sleep(0.1)
        why = why_ended()
    if why:
        return invoke_error.environment_ended(invocation.id, why)
    return invoke_error.sandbox_failure(invocation.id, end.text)
