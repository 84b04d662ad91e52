"""How the events of each function are retried, and where their outcome goes: narrow views of what says so.

A function's own configuration is that of `$LATEST`; each alias and version has its own, and none inherits (§6.5). The
dead-letter queue is part of what is deployed: a version has the one that it was published with.
"""

import asyncio
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from kubelambda.api.kinds.event_invoke_config import EventInvokeConfig
from kubelambda.core.event.delivery import RetryPolicy
from kubelambda.core.invoke.routing import LATEST, alias_rank, is_alias
from kubelambda.kube.fair_slots import FairSlots
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.reflector import Name, Reflector
from kubelambda.kube.resources import ALIASES, FUNCTION_VERSIONS, FUNCTIONS

_REMEMBERED: Final = 4_096
_AT_ONCE: Final = 16
_PER_NAMESPACE: Final = 4


@dataclass(frozen=True, slots=True)
class EventPolicy:
    """What is said of the events of a function, by one qualifier. ARNs or names, None where there is none."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    reserved_concurrency: int | None = None
    on_success: str | None = None
    on_failure: str | None = None
    dead_letter: str | None = None
    loops_end: bool = True
    """Whether a chain of invocations ends that comes back too often."""


@dataclass(frozen=True, slots=True)
class FunctionPolicy:
    """What a Function says."""

    uid: str
    config: EventPolicy
    deployed: bool
    """Whether any of it is: otherwise nobody accepts an event for it."""


@dataclass(frozen=True, slots=True)
class QualifiedPolicy:
    """What an alias or a version says."""

    function: str
    qualifier: str
    config: EventPolicy
    version: str | None = LATEST
    """Where it leads; None while that is nowhere, and nobody accepts an event for it."""
    rank: tuple[str, bool] = ("", False)
    """Of two objects of one qualifier the lower one counts."""


type _Place = tuple[str, str, str]
"""Namespace, function, qualifier."""


class FunctionPolicies:
    """The policies as Kubernetes has them now; an event lives by the one of the moment.

    What an event was accepted for may have been made a moment ago: nothing is taken for absent on the word of a cache.
    """

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._qualified: defaultdict[_Place, dict[str, QualifiedPolicy]] = defaultdict(dict)
        """By the names of the objects that claim to be it."""
        self._silent: OrderedDict[tuple[str, str], None] = OrderedDict()
        """Functions, by their uids, and versions that said nothing of events when Kubernetes was asked for them.

        Of what they say later an event tells.
        """
        self._slots: FairSlots[str] = FairSlots(_PER_NAMESPACE, _AT_ONCE)
        self._functions = Reflector(client, FUNCTIONS, function_policy, on_change=lambda *_: None)
        self._aliases = Reflector(client, ALIASES, alias_policy, on_change=self._changed)
        self._versions = Reflector(client, FUNCTION_VERSIONS, version_policy, on_change=self._changed)

    async def run(self) -> None:
        """Keeps them current until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in (self._functions, self._aliases, self._versions):
                group.create_task(reflector.run())

    async def synced(self) -> None:
        """Returns once everything there is has been read."""
        for reflector in (self._functions, self._aliases, self._versions):
            await reflector.synced.wait()

    async def of(self, namespace: str, function: str, qualifier: str = "") -> EventPolicy | None:
        """A policy; None when the function is gone, which Kubernetes itself says. Raises `KubeError`."""
        known = self._functions.items.get((namespace, function))
        if known is None or not known.deployed:
            body = await self._client.find(FUNCTIONS, function, namespace)
            if body is None:
                return None
            known = function_policy(body)
        if qualifier in ("", LATEST):
            return known.config
        found = await self._said((namespace, function, qualifier), known.uid)
        config = found.config if found is not None else EventPolicy()
        return EventPolicy(
            retry=config.retry,
            on_success=config.on_success,
            on_failure=config.on_failure,
            reserved_concurrency=known.config.reserved_concurrency,
            loops_end=known.config.loops_end,
            dead_letter=await self._dead_letter((namespace, function), known, found),
        )

    async def _dead_letter(self, function: Name, known: FunctionPolicy, found: QualifiedPolicy | None) -> str | None:
        if found is None or found.version is None:  # a version that says nothing of its events
            return None
        if found.version == LATEST:
            return known.config.dead_letter
        version = await self._said((*function, found.version), known.uid)
        return version.config.dead_letter if version is not None else None

    async def _said(self, place: _Place, uid: str) -> QualifiedPolicy | None:
        """What an alias or a version of the function says; None where that is nothing."""
        found = self._find(place)
        silent = (uid, place[2])
        if found is not None and found.version is not None:
            return found
        if silent in self._silent:
            self._silent.move_to_end(silent)
            return None
        async with self._slots.hold(place[0]):
            asked = await self._ask(place)
        if asked is None and not is_alias(place[2]):
            # Its number was given once and for all, by the time that anybody could name it.
            self._silent[silent] = None
            if len(self._silent) > _REMEMBERED:
                self._silent.popitem(last=False)
        return asked

    async def _ask(self, place: _Place) -> QualifiedPolicy | None:
        namespace, function, qualifier = place
        resource, view = (ALIASES, alias_policy) if is_alias(qualifier) else (FUNCTION_VERSIONS, version_policy)
        bodies = self._client.each(resource, namespace, field_selector=f"spec.functionName={function}")
        said = [view(body) async for body in bodies]
        mine = [each for each in said if each is not None and each.qualifier == qualifier]
        return min(mine, key=lambda each: each.rank, default=None)

    def _changed(self, name: Name, before: QualifiedPolicy | None, after: QualifiedPolicy | None) -> None:
        namespace, object_name = name
        if before is not None:
            place = (namespace, before.function, before.qualifier)
            self._qualified[place].pop(object_name, None)
            if not self._qualified[place]:
                del self._qualified[place]
        if after is not None:
            self._qualified[namespace, after.function, after.qualifier][object_name] = after

    def _find(self, place: _Place) -> QualifiedPolicy | None:
        return min(self._qualified.get(place, {}).values(), key=lambda found: found.rank, default=None)


def function_policy(body: dict[str, Any]) -> FunctionPolicy:
    """What a Function object says of the events of `$LATEST`."""
    spec, status = body["spec"], body.get("status") or {}
    config = _policy(
        spec.get("eventInvokeConfig"),
        reserved_concurrency=status.get("reservedConcurrentExecutions"),
        dead_letter=(status.get("deployed") or {}).get("deadLetterTarget"),
        loops_end=spec.get("recursiveLoop") != "Allow",
    )
    return FunctionPolicy(body["metadata"]["uid"], config, "deployed" in status)


def alias_policy(body: dict[str, Any]) -> QualifiedPolicy | None:
    """What an Alias says, and where it leads."""
    spec, status = body["spec"], body.get("status") or {}
    version = status.get("routedVersion") or status.get("functionVersion")
    config = _policy(spec.get("eventInvokeConfig"))
    rank = alias_rank(body["metadata"].get("creationTimestamp", ""), routed="routedVersion" in status)
    return QualifiedPolicy(spec["functionName"], spec["name"], config, version, rank)


def version_policy(body: dict[str, Any]) -> QualifiedPolicy | None:
    """What a FunctionVersion says; None where that is nothing: there may be many, and some only repeat another."""
    spec, status = body["spec"], body.get("status") or {}
    dead_letter = (status.get("deployed") or {}).get("deadLetterTarget")
    version = status.get("version")
    if not version or "deployed" not in status or (dead_letter is None and spec.get("eventInvokeConfig") is None):
        return None
    config = _policy(spec.get("eventInvokeConfig"), dead_letter=dead_letter)
    return QualifiedPolicy(spec["functionName"], version, config, version)


def _retry(wanted: EventInvokeConfig) -> RetryPolicy:
    attempts, age = wanted.maximum_retry_attempts, wanted.maximum_event_age_in_seconds
    default = RetryPolicy()
    return RetryPolicy(
        maximum_retry_attempts=default.maximum_retry_attempts if attempts is None else attempts,
        maximum_event_age=default.maximum_event_age if age is None else float(age),
    )


def _policy(config: dict[str, Any] | None, **more: Any) -> EventPolicy:
    wanted = EventInvokeConfig.model_validate(config or {}, extra="ignore")
    destinations = wanted.destination_config
    return EventPolicy(
        retry=_retry(wanted),
        on_success=destinations.on_success.destination if destinations.on_success else None,
        on_failure=destinations.on_failure.destination if destinations.on_failure else None,
        **more,
    )
