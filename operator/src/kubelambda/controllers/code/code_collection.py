"""Keeps the code store equal to what is deployed: collects what nobody runs, publishes again what was lost."""

import time

from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.work_queue import Key, Outcome

KEY = Key("CodeStore", "", "")
INTERVAL_S = 60.0


async def reconcile(context: Context, key: Key) -> Outcome:  # noqa: ARG001 - there is one store
    """The whole store.

    An archive that no function runs any more stays for a while: environments of the previous deployment may still
    fetch it, and a rollback finds it there.
    """
    wanted = context.state.digests()
    stored = set(await context.store.digests())
    now = time.monotonic()
    for digest in [digest for digest in context.unreferenced if digest in wanted or digest not in stored]:
        del context.unreferenced[digest]
    for digest in stored - wanted.keys():
        since = context.unreferenced.get(digest)
        if since is None:
            context.unreferenced[digest] = now
        elif now - since > context.settings.code_retention_seconds:
            del context.unreferenced[digest]
            context.fetched.pop(digest, None)
            await context.store.delete(digest)
    for digest in wanted.keys() - stored:
        context.queue.add(changes.function_key(*wanted[digest]))
    return min(INTERVAL_S, context.settings.code_retention_seconds / 2 + 1)
