"""Placement: which environment runs which invocation. A pure machine: event and time in, actions out (DESIGN §5).

The state is changed in place, for speed; it holds no clock, no socket and no task. Rules 1 to 4 and 8 of DESIGN §5:
an environment runs one invocation at a time; a request without an idle one starts another and takes whichever is free
first; it never waits behind a busy one while the limits allow one more; whatever exceeds them is throttled at once.
"""

from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import Any

from kubelambda.core.placement.actions import Action, Cancel, Dispatch, Fail, Release, Retire, Start, Throttle
from kubelambda.core.placement.function_share import FunctionShare, ThrottleReason, Unit
from kubelambda.core.placement.placed_environment import PlacedEnvironment, Status, Waiting
from kubelambda.core.placement.recycling import oldest_to_go
from kubelambda.core.placement.retirement import UPDATED

REPLACE_AGAIN_S = 300.0
"""After an environment could not be replaced: the cluster is full, and asking more often makes no room."""


@dataclass(slots=True)
class VersionPlacement:
    """Placement of one version of a function. What all its versions use together is counted in their `share`."""

    share: FunctionShare
    revision: str
    environments: dict[int, PlacedEnvironment] = field(default_factory=dict)
    idle: list[PlacedEnvironment] = field(default_factory=list)
    """Idle environments on demand, the one that was used last at the end."""
    provisioned_idle: dict[str, list[PlacedEnvironment]] = field(default_factory=dict)
    """Idle provisioned environments by qualifier."""
    kept: dict[str, int] = field(default_factory=dict)
    """How many provisioned environments of a qualifier are to stay, where too many are busy."""
    waiting: deque[Waiting] = field(default_factory=deque)
    coming: dict[int, PlacedEnvironment] = field(default_factory=dict)
    misplaced: dict[int, float] = field(default_factory=dict)
    """Environments that their node cannot give their size, and when to try next to replace them."""
    replacing: dict[int, int] = field(default_factory=dict)
    """Environments that are starting in the place of misplaced ones."""
    in_flight: int = 0
    """Requests that wait or run."""
    _last_id: int = 0

    def arrive(self, request: Any, now: float, qualifier: str = "", *, rated: bool = False) -> list[Action]:
        """A request, under the qualifier that its caller named: it is dispatched, waits, or is throttled (§5.8).

        `rated`: it arrived before, and was counted against the request rate.
        """
        unit = self.share.admit(now, qualifier, rated=rated)
        if isinstance(unit, ThrottleReason):
            return [Throttle(request, unit)]
        self.in_flight += 1
        found = self._idle_for(qualifier)
        if found is not None:
            return [self._dispatch(found, request, unit)]
        if len(self.coming) <= len(self.waiting):
            if not self.share.scaling.take(now):
                self._release(unit, now)
                return [Throttle(request, ThrottleReason.ACCOUNT)]
            self.waiting.append(Waiting(request, now, qualifier, unit))
            return [self._start(now)]
        self.waiting.append(Waiting(request, now, qualifier, unit))
        return []

    def begun(self, environment: int) -> bool:
        """The start of an environment begins; False when it was cancelled in the meantime."""
        if environment in self.replacing:
            return True
        found = self.coming.get(environment)
        if found is None:
            return False
        found.status = Status.STARTING
        return True

    def ready(self, environment: int, now: float) -> list[Action]:
        """An environment finished its initialization."""
        found = self.coming.pop(environment, None)
        if found is not None:
            return self._freed(found, now)
        replaced = self.replacing.pop(environment, None)
        if replaced is None:
            return []
        retired = self.retire(replaced, "its node could not give it its size")
        return [*retired, *self._freed(self.environments[environment], now)]

    def misplace(self, environment: int, now: float) -> list[Action]:
        """Its node cannot give an environment its size: another one starts, and takes its place once it is ready."""
        found = self.environments.get(environment)
        if found is not None and found.provisioned:
            return []  # its pod was made with its size
        self.misplaced.setdefault(environment, now)
        return self._replace(now)

    def adopt(self, revision: str, now: float, *, busy: bool, provisioned: str = "") -> tuple[int, list[Action]]:
        """Takes over an environment that started elsewhere; a busy one counts until `finished`.

        Provisioned ones come this way too: Kubernetes keeps their number, and they are ready when they say so.
        """
        found = PlacedEnvironment(self._next_id(), revision, Status.BUSY, now, provisioned, now)
        self.environments[found.id] = found
        if busy:
            found.unit = self.share.adopt(provisioned, now)
            self.in_flight += 1
            return found.id, []
        return found.id, self._freed(found, now)

    def expect(self, now: float) -> int:
        """Takes over an environment of the present revision that is starting: it counts as coming until `ready`."""
        found = PlacedEnvironment(self._next_id(), self.revision, Status.STARTING, now, born=now)
        self.environments[found.id] = found
        self.coming[found.id] = found
        return found.id

    def start_failed(self, environment: int, now: float, failure: Any = None) -> list[Action]:
        """A start came to nothing. `failure`, an initialization's, goes to one waiting request; else another start."""
        replaced = self.replacing.pop(environment, None)
        if replaced is not None:
            del self.environments[environment]
            self.misplaced[replaced] = now + REPLACE_AGAIN_S
            return []
        found = self.coming.pop(environment, None)
        if found is None:
            return []
        del self.environments[environment]
        if failure is not None and self.waiting:
            waiting = self.waiting.popleft()
            self._release(waiting.unit, now)
            return [Fail(waiting.request, failure), *self._trim()]
        if len(self.coming) < len(self.waiting):
            return [self._start(now)]
        return []

    def finished(self, environment: int, now: float, *, retire: str = "") -> list[Action]:
        """An invocation ended and its environment is free again, or has to go when `retire` says why."""
        found = self.environments.get(environment)
        if found is None or found.status is not Status.BUSY:
            return []
        self._yield_unit(found, now)
        found.retiring = found.retiring or retire
        return self._freed(found, now)

    def rejected(self, environment: int, request: Any, arrived: float, now: float, qualifier: str = "") -> list[Action]:
        """An environment refused a request before any of it reached the runtime: another one, invisibly (rule 4)."""
        refused = self.environments[environment]
        unit, refused.unit = refused.unit, None
        assert unit is not None, "an environment that runs nothing refuses nothing"
        self._forget(environment)
        found = self._idle_for(qualifier)
        if found is not None:
            return [self._dispatch(found, request, unit)]
        self.waiting.appendleft(Waiting(request, arrived, qualifier, unit))
        return [self._start(now)] if len(self.coming) < len(self.waiting) else []

    def lost(self, environment: int, now: float) -> list[Action]:
        """An environment is gone. Whatever it ran has been answered by the caller of this."""
        found = self.environments.get(environment)
        if found is None:
            return []
        if environment in self.coming:
            return self.start_failed(environment, now)
        self._yield_unit(found, now)
        self._forget(environment)
        return [self._start(now)] if len(self.coming) < len(self.waiting) else []

    def retire(self, environment: int, why: str) -> list[Action]:
        """An environment must take nothing new."""
        found = self.environments.get(environment)
        if found is None:
            return []
        found.retiring = why
        if found.status is Status.IDLE:
            self._forget(environment)
            return [Retire(environment, why)]
        return []

    def doubt(self, environment: int) -> None:
        """Nobody knows whether the node of an environment is still there: it is given nothing until `trust` or `lost`.

        One that runs something shows by its answer that it is there.
        """
        found = self.environments.get(environment)
        if found is not None and found.status is Status.IDLE and not found.released and not found.doubted:
            self._idle_list(found).remove(found)
            found.doubted = True

    def trust(self, environment: int, now: float) -> list[Action]:
        """A doubted environment is there."""
        found = self.environments.get(environment)
        if found is None or not found.doubted:
            return []
        found.doubted = False
        return self._freed(found, now)

    def configure(self, revision: str, now: float) -> list[Action]:
        """The version's deployment changed; environments of another revision go once they are idle.

        Provisioned ones do not: a version is immutable, and whoever made them replaces them before they end.
        """
        if revision == self.revision:
            return []
        self.revision = revision
        actions: list[Action] = []
        for found in list(self.environments.values()):
            if found.revision != revision and not found.provisioned:
                actions += self._outdated(found)
        missing = len(self.waiting) - len(self.coming)
        return actions + [self._start(now) for _ in range(missing)]

    def _outdated(self, found: PlacedEnvironment) -> list[Action]:
        if found.status is Status.REQUESTED:
            return [self._cancel(found)]
        if found.status is Status.STARTING:
            self.coming.pop(found.id, None)
            self.replacing.pop(found.id, None)
            del self.environments[found.id]
            return [Retire(found.id, UPDATED)]
        return self.retire(found.id, UPDATED)

    def tick(self, now: float, *, idle_timeout: float, start_timeout: float, max_age: float = inf) -> list[Action]:
        """Retires what was idle for too long or is too old, and throttles what waited for too long."""
        actions: list[Action] = []
        while self.idle and now - self.idle[0].since > idle_timeout:
            actions += self.retire(self.idle[0].id, "idle")
        while self.waiting and now - self.waiting[0].arrived > start_timeout:
            waiting = self.waiting.popleft()
            self._release(waiting.unit, now)
            actions.append(Throttle(waiting.request, ThrottleReason.ACCOUNT))
        if max_age < inf:
            starting = self.coming.keys() | self.replacing.keys()
            old = oldest_to_go(self.environments.values(), starting, self.share.provisioned, now - max_age)
            for found in old:
                actions += self.retire(found.id, "it reached its greatest age")
        return actions + self._trim() + self._replace(now)

    def abandon(self, now: float) -> list[Any]:
        """The function is gone: the requests that still wait, for the caller to answer."""
        waiting = list(self.waiting)
        self.waiting.clear()
        for found in waiting:
            self._release(found.unit, now)
        return [found.request for found in waiting]

    def _start(self, now: float) -> Start:
        found = PlacedEnvironment(self._next_id(), self.revision, Status.REQUESTED, now, born=now)
        self.environments[found.id] = found
        self.coming[found.id] = found
        return Start(found.id)

    def _replace(self, now: float) -> list[Action]:
        """Starts for the misplaced environments that are still of use and whose time has come."""
        actions: list[Action] = []
        for number, due in list(self.misplaced.items()):
            found = self.environments.get(number)
            if found is None or found.retiring or found.revision != self.revision:
                del self.misplaced[number]
            elif now >= due and number not in self.replacing.values():
                fresh = PlacedEnvironment(self._next_id(), self.revision, Status.STARTING, now, born=now)
                self.environments[fresh.id] = fresh
                self.replacing[fresh.id] = number
                actions.append(Start(fresh.id, own_pod=True))
        return actions

    def available(self, qualifier: str) -> int:
        """Provisioned environments that take invocations of a qualifier."""
        return len(self._serving(qualifier))

    def keep(self, qualifier: str, count: int | None, now: float) -> list[Action]:
        """Of the provisioned environments of a qualifier so many stay; None: all.

        Those that ran nothing for longest go first, a busy one once it has finished.
        """
        if count is None:
            self.kept.pop(qualifier, None)
        else:
            self.kept[qualifier] = count
        actions: list[Action] = []
        while self._surplus(qualifier) > 0 and (idle := self.provisioned_idle.get(qualifier)):
            actions.append(self._let_go(idle.pop(0)))
        for found in [one for one in self.environments.values() if one.released and one.provisioned == qualifier]:
            if count is not None and self._surplus(qualifier) >= 0:
                break
            found.released = False
            actions += [Release(found.id, again=True), *self._freed(found, now)]
        if self._surplus(qualifier) <= 0:  # else whatever becomes free is compared with it, until there is none
            self.kept.pop(qualifier, None)
        return actions

    def _serving(self, qualifier: str) -> list[PlacedEnvironment]:
        every = self.environments.values()
        return [one for one in every if one.provisioned == qualifier and not one.retiring and not one.released]

    def _surplus(self, qualifier: str) -> int:
        count = self.kept.get(qualifier) if self.kept else None
        return 0 if count is None else len(self._serving(qualifier)) - count

    def _let_go(self, found: PlacedEnvironment) -> Release:
        found.status, found.released = Status.IDLE, True
        return Release(found.id)

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _idle_for(self, qualifier: str) -> PlacedEnvironment | None:
        """The idle environment for a request: one that is provisioned for its qualifier, else the last one used."""
        provisioned = self.provisioned_idle.get(qualifier) if self.provisioned_idle else None
        if provisioned:
            return provisioned.pop()
        return self.idle.pop() if self.idle else None

    def _dispatch(self, found: PlacedEnvironment, request: Any, unit: Unit) -> Dispatch:
        found.status = Status.BUSY
        found.unit = unit
        return Dispatch(request, found.id)

    def _freed(self, found: PlacedEnvironment, now: float) -> list[Action]:
        """The environment runs nothing: it goes, takes the request that waited longest, or is idle."""
        if found.revision != self.revision and not found.provisioned:
            found.retiring = found.retiring or UPDATED
        if found.retiring:
            self.environments.pop(found.id, None)
            actions: list[Action] = [Retire(found.id, found.retiring)]
            missing = len(self.waiting) - len(self.coming)
            return actions + [self._start(now) for _ in range(missing)]
        if found.provisioned and self._surplus(found.provisioned) > 0:
            return [self._let_go(found)]
        waiting = self._next_for(found) if self.waiting else None
        if waiting is not None:
            unit = self.share.promote(waiting.unit, found.provisioned, now) if found.provisioned else waiting.unit
            return [self._dispatch(found, waiting.request, unit), *self._trim()]
        found.status = Status.IDLE
        found.since = now
        self._idle_list(found).append(found)
        return []

    def _next_for(self, found: PlacedEnvironment) -> Waiting | None:
        """The request that waited longest of those that an environment may take."""
        if not found.provisioned:
            return self.waiting.popleft()
        waiting = next((one for one in self.waiting if one.qualifier == found.provisioned), None)
        if waiting is not None:
            self.waiting.remove(waiting)
        return waiting

    def _idle_list(self, found: PlacedEnvironment) -> list[PlacedEnvironment]:
        return self.provisioned_idle.setdefault(found.provisioned, []) if found.provisioned else self.idle

    def _trim(self) -> list[Action]:
        """Cancels starts that have not begun and that nobody waits for."""
        surplus = len(self.coming) - len(self.waiting)
        if surplus <= 0:
            return []
        unneeded = [found for found in reversed(self.coming.values()) if found.status is Status.REQUESTED][:surplus]
        return [self._cancel(found) for found in unneeded]

    def _cancel(self, found: PlacedEnvironment) -> Cancel:
        """A start that has not begun adds no environment, and so does not count against the scaling rate."""
        del self.coming[found.id], self.environments[found.id]
        self.share.scaling.give_back()
        return Cancel(found.id)

    def _forget(self, environment: int) -> None:
        found = self.environments.pop(environment, None)
        self.coming.pop(environment, None)
        if found is not None and found.status is Status.IDLE and not found.released and not found.doubted:
            self._idle_list(found).remove(found)

    def _yield_unit(self, found: PlacedEnvironment, now: float) -> None:
        """Gives back what the invocation of an environment held."""
        unit, found.unit = found.unit, None
        if unit is not None:
            self._release(unit, now)

    def _release(self, unit: Unit, now: float) -> None:
        self.in_flight -= 1
        self.share.release(unit, now)
