"""Whose cancellation it is: nobody misses a task that ends as cancelled when only what it waited for was."""

import asyncio


def is_of_this_task(error: BaseException) -> bool:
    """Whether `error` says that the present task itself is to end."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and bool(task.cancelling())
