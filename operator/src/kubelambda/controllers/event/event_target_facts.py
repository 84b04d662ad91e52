"""What others may know of an EventTarget, and what it means for those whose destinations name it."""

from collections.abc import Iterable
from typing import Protocol

from kubelambda.api.conditions import Fact
from kubelambda.controllers.machinery import unseen
from kubelambda.controllers.machinery.asked import Asker
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Follow
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.core.event.named_targets import TargetFacts, destinations_fact, named_targets
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import EVENT_TARGETS


class NamesTargets(Protocol):
    """Facts of an object with destinations."""

    @property
    def targets(self) -> tuple[str, ...]:
        """EventTargets that these name."""


def target_facts(body: Object) -> TargetFacts:
    """The facts of an EventTarget object."""
    spec = body["spec"]
    return TargetFacts(body["metadata"]["uid"], nameable="http" in spec or "arn" in (spec.get("aws") or {}))


WATCHED_EVENT_TARGETS = Watch(EVENT_TARGETS, target_facts)


async def destinations_of(context: Context, asker: Asker, body: Object) -> Fact | None:
    """Whether what the destinations of an object name is there. Raises `KubeError`."""
    namespace = body["metadata"]["namespace"]
    return destinations_fact(
        {
            name: await unseen.find(context, asker, WATCHED_EVENT_TARGETS, namespace, name)
            for name in named_targets(body["spec"])
        }
    )


def with_targets[F: NamesTargets](users: Watch[F]) -> Follow[TargetFacts]:
    """Those of a kind whose destinations name a target that came, went, or may be named now."""

    def keys(change: Change[TargetFacts]) -> Iterable[Key]:
        for name, facts in change.cluster[users].within(change.namespace):
            if change.name in facts.targets:
                yield Key(users.resource.kind, change.namespace, name)

    return Follow(WATCHED_EVENT_TARGETS, keys)
