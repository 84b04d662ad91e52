"""Collects archives that no function runs any more: level-triggered, after a grace period of the store's own."""

from kubelambda.controllers.context import Context
from kubelambda.controllers.queue import Key

INTERVAL_S = 300.0


async def reconcile(context: Context, key: Key) -> float | None:  # noqa: ARG001 - there is one store
    """The whole store."""
    wanted = context.state.digests()
    for digest in await context.store.digests():
        if digest not in wanted:
            await context.store.delete(digest)
    return INTERVAL_S
