"""What a change of one object means: its facts are remembered, and the keys of those who follow it become due."""

import logging
import math

from kubelambda.controllers.machinery.cluster import Seen
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.watched import Watch, name_of
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.kube.event_recorder import record_event
from kubelambda.kube.kube_client import Object

log = logging.getLogger(__name__)


def watches(context: Context) -> list[Watch[object]]:
    """Every watch that some controller follows, in the order in which they are declared."""
    return list(dict.fromkeys(follow.watch for controller in context.controllers for follow in controller.follows))


async def observe[F](
    context: Context, watch: Watch[F], body: Object, *, by: Key | None = None, appeared: bool = True
) -> F | None:
    """Takes an object in as it is now; its facts, or None when it cannot be read.

    `by` is the key at work that read it: its own change is no reason to look at it again. What has not `appeared`
    just now, but is read for the first time, concerns nobody: every key is looked at after that.
    """
    facts = await _facts(context, watch, body)
    if facts is None:
        return None
    metadata = body["metadata"]
    namespace, name = name_of(body)
    known = context.cluster[watch]
    former = known.seen(namespace, name)
    before = None if former is None else former.facts
    if not known.replace((namespace, name), Seen(metadata["uid"], int(metadata["resourceVersion"]), facts)):
        return facts
    if former is not None and former.uid != metadata["uid"]:
        # Equal facts must not hide that one went and another came: at that one nobody has looked.
        _announce(context, watch, Change(namespace, name, before, None, context.cluster), by)
        _announce(context, watch, Change(namespace, name, None, facts, context.cluster), by)
    elif before != facts and (appeared or former is not None):
        _announce(context, watch, Change(namespace, name, before, facts, context.cluster), by)
    return facts


def forget[F](
    context: Context,
    watch: Watch[F],
    namespace: str,
    name: str,
    *,
    uid: str | None = None,
    version: float = math.inf,
    by: Key | None = None,
) -> None:
    """Takes in that an object is gone. `uid`: its own, where that is known; another object may have its name by now.

    `version`: the resource version in which it went, where it may come back.
    """
    context.watching.unreadable.pop((watch, (namespace, name)), None)
    before = context.cluster[watch].remove((namespace, name), uid, version)
    if before is not None:
        _announce(context, watch, Change(namespace, name, before, None, context.cluster), by)


def followers[F](context: Context, watch: Watch[F]) -> list[tuple[Controller[Context], Follow[F]]]:
    """Who follows a watch."""
    return [(each, follow) for each in context.controllers for follow in each.follows if follow.watch is watch]


def _announce[F](context: Context, watch: Watch[F], change: Change[F], by: Key | None) -> None:
    for _, follow in followers(context, watch):
        for key in follow.keys(change):
            if key != by:
                context.queues.add(key, follow.delay)


async def _facts[F](context: Context, watch: Watch[F], body: Object) -> F | None:
    """The facts; or, told once for each generation, why there are none. What was known before stays."""
    metadata = body["metadata"]
    at = (watch, name_of(body))
    try:
        facts = watch.facts(body)
    except Exception as error:  # noqa: BLE001 - one bad object must never stop the others
        what = f"{metadata['uid']}/{metadata.get('generation', 0)}"
        if context.watching.unreadable.get(at) != what:
            context.watching.unreadable[at] = what
            note = f"this release of kubelambda cannot read the object, and skips it: {type(error).__name__}: {error}"
            log.warning("%s %s/%s: %s", watch.resource.kind, *name_of(body), note)
            await record_event(
                context.client, watch.resource, metadata, "Unreadable", note, warning=True, action="Reconcile"
            )
        return None
    context.watching.unreadable.pop(at, None)
    return facts
