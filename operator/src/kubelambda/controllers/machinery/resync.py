"""The periodic resync: lists everything anew, drops what vanished unseen, and looks at every key again."""

import asyncio
import logging
import random
import time

from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change
from kubelambda.controllers.machinery.watched import Name, Watch, name_of
from kubelambda.kube.errors import Forbidden, KubeError

INTERVAL_S = 300.0
LISTED_S = 5.0
"""After what a watch lists when it begins: no more of that comes."""
_EVENT_DELAY_S = 10.0
"""How long an event may come after the list that already shows its change."""

log = logging.getLogger(__name__)


async def load(context: Context) -> dict[Watch[object], int]:
    """Replaces what we know by what there is; how many objects of each watch were not as known.

    The order is that of the declarations: what others depend on comes first.
    """
    first = not context.watching.loaded
    surprises = {watch: await _load(context, watch, first=first) for watch in changes.watches(context)}
    context.watching.loaded = True
    for watch in surprises:
        _look_again(context, watch)
    return surprises


async def run(context: Context) -> None:
    """Resyncs for ever."""
    while True:
        await asyncio.sleep(INTERVAL_S * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
        last = dict(context.watching.last_event)
        try:
            surprises = await load(context)
        except KubeError as error:
            log.warning("the resync waits for the API server: %s", error)
            continue
        surprised = [watch for watch, count in surprises.items() if count and not watch.listed_only]
        if surprised:
            await asyncio.sleep(_EVENT_DELAY_S)
        silent = {each.resource.kind for each in surprised if context.watching.last_event[each] == last.get(each)}
        context.watching.deaf = silent
        for watch in surprised:
            level = logging.ERROR if watch.resource.kind in silent else logging.INFO
            log.log(level, "%d changes of %s came without an event", surprises[watch], watch.resource.plural)


async def mind(context: Context) -> None:
    """Looks for ever for what went while nobody watched.

    A watch that begins, or begins anew because it was away for too long, lists what is there. Of what is not there any
    more it says nothing, and objects that it held would wait for it until the next resync.
    """
    while True:
        await asyncio.sleep(LISTED_S)
        await catch_up(context)


async def catch_up(context: Context) -> None:
    """Compares what is known with what there is, for each watch that has listed everything a while ago."""
    listed = context.watching.listed
    for watch in [watch for watch, at in listed.items() if time.monotonic() - at >= LISTED_S]:
        del listed[watch]
        try:
            await _load(context, watch, first=False)
        except KubeError as error:
            log.info("%s: %s; compared again soon", watch.resource.plural, error)
            listed.setdefault(watch, time.monotonic())


async def _load(context: Context, watch: Watch[object], *, first: bool) -> int:
    known = context.cluster[watch]
    unseen = known.all_seen()
    surprises = 0
    async for body in context.client.each(watch.resource, label_selector=watch.label):
        name = name_of(body)
        unseen.pop(name, None)
        before = known.get(*name)
        after = await changes.observe(context, watch, body, appeared=not first)
        surprises += after is not None and before != after
    for name, seen in unseen.items():
        if known.seen(*name) is not seen:  # an event told of it meanwhile
            continue
        surprises += 1
        if watch.listed_only or not await _is_there(context, watch, name):
            changes.forget(context, watch, *name, uid=seen.uid, version=seen.version)
    return surprises


async def _is_there(context: Context, watch: Watch[object], name: Name) -> bool:
    """Listed page by page, so an object may have come meanwhile that no page shows: asked by name, it tells."""
    namespace, plain = name
    try:
        found = await context.client.find(watch.resource, plain, namespace or None)
    except Forbidden:  # what we only watch: an event tells if it is there
        return False
    if found is None or not watch.selects(found["metadata"]):
        return False
    await changes.observe(context, watch, found)
    return True


def _look_again(context: Context, watch: Watch[object]) -> None:
    """Every key, as if all had just appeared: what needs work at once, the rest in the course of the interval."""
    for (namespace, name), facts in context.cluster[watch]:
        change = Change(namespace, name, None, facts, context.cluster)
        for _, follow in changes.followers(context, watch):
            if not follow.resync:
                continue
            pause = random.uniform(0, INTERVAL_S) if follow.settled(facts) else follow.delay  # noqa: S311 - jitter
            for key in follow.keys(change):
                context.queues.add(key, pause)
