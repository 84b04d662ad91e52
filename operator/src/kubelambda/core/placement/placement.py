"""Placement: which environment runs which invocation. A pure machine: event and time in, actions out (DESIGN §5).

The state is changed in place, for speed; it holds no clock, no socket and no task. Rules 1 to 4 and 8 of DESIGN §5:
an environment runs one invocation at a time; a request without an idle one starts another and takes whichever is free
first; it never waits behind a busy one while the limits allow one more; whatever exceeds them is throttled at once.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kubelambda.api import limits
from kubelambda.core.account import token_bucket
from kubelambda.core.account.ledger import Account, request_rate
from kubelambda.core.account.token_bucket import TokenBucket

REPLACE_AGAIN_S = 300.0
"""After an environment could not be replaced: the cluster is full, and asking more often makes no room."""


class ThrottleReason(Enum):
    """Why a request was throttled (§2.3.2)."""

    RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"
    ACCOUNT = "ConcurrentInvocationLimitExceeded"
    RESERVED_RATE = "ReservedFunctionInvocationRateLimitExceeded"
    RATE = "FunctionInvocationRateLimitExceeded"


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Send the request to the environment."""

    request: Any
    environment: int


@dataclass(frozen=True, slots=True)
class Throttle:
    """Answer 429."""

    request: Any
    reason: ThrottleReason


@dataclass(frozen=True, slots=True)
class Fail:
    """Answer with the failure of an initialization, once."""

    request: Any
    failure: Any


@dataclass(frozen=True, slots=True)
class Start:
    """Start an environment of the present revision, `own_pod` when none out of a pool will do."""

    environment: int
    own_pod: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """Forget a start that has not begun: nobody waits for it any more."""

    environment: int


@dataclass(frozen=True, slots=True)
class Retire:
    """End an environment that runs nothing."""

    environment: int
    why: str


type Action = Dispatch | Throttle | Fail | Start | Cancel | Retire


class Status(Enum):
    """What an environment does."""

    REQUESTED = "requested"
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"


@dataclass(slots=True)
class PlacedEnvironment:
    """An environment as placement sees it. `since` is when it became idle."""

    id: int
    revision: str
    status: Status
    since: float
    retiring: str = ""


@dataclass(slots=True)
class FunctionPlacement:
    """Placement of one function."""

    account: Account
    name: str
    revision: str
    reserved: int | None
    rate: TokenBucket
    scaling: TokenBucket
    environments: dict[int, PlacedEnvironment] = field(default_factory=dict)
    idle: list[PlacedEnvironment] = field(default_factory=list)
    waiting: deque[tuple[Any, float]] = field(default_factory=deque)
    coming: dict[int, PlacedEnvironment] = field(default_factory=dict)
    misplaced: dict[int, float] = field(default_factory=dict)
    """Environments that their node cannot give their size, and when to try next to replace them."""
    replacing: dict[int, int] = field(default_factory=dict)
    """Environments that are starting in the place of misplaced ones."""
    in_flight: int = 0
    _shared: deque[bool] = field(default_factory=deque)
    _last_id: int = 0

    @property
    def shared_in_flight(self) -> int:
        """Units in flight that were taken from the account's unreserved pool."""
        return sum(self._shared)

    def arrive(self, request: Any, now: float) -> list[Action]:  # noqa: PLR0911 - one for each outcome
        """A request: it is dispatched, waits for an environment, or is throttled."""
        if not self.rate.take(now) and self.reserved != 0:
            return [Throttle(request, ThrottleReason.RATE if self.reserved is None else ThrottleReason.RESERVED_RATE)]
        if self.reserved is not None:
            if self.in_flight >= self.reserved:
                return [Throttle(request, ThrottleReason.RESERVED)]
        elif not self.account.acquire():
            return [Throttle(request, ThrottleReason.ACCOUNT)]
        self._shared.append(self.reserved is None)
        self.in_flight += 1
        if self.idle:
            return [self._dispatch(self.idle.pop(), request)]
        if len(self.coming) > len(self.waiting):
            self.waiting.append((request, now))
            return []
        if not self.scaling.take(now):
            self._release()
            return [Throttle(request, ThrottleReason.ACCOUNT)]
        self.waiting.append((request, now))
        return [self._start(now)]

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
        self.misplaced.setdefault(environment, now)
        return self._replace(now)

    def adopt(self, revision: str, now: float, *, busy: bool) -> tuple[int, list[Action]]:
        """Takes over an environment that another frontend started; a busy one counts until `finished`."""
        found = PlacedEnvironment(self._next_id(), revision, Status.BUSY, now)
        self.environments[found.id] = found
        if busy:
            self.in_flight += 1
            shared = self.reserved is None
            self._shared.append(shared)
            if shared:
                self.account.unreserved_in_flight += 1
            return found.id, []
        return found.id, self._freed(found, now)

    def expect(self, now: float) -> int:
        """Takes over an environment of the present revision that is starting: it counts as coming until `ready`."""
        found = PlacedEnvironment(self._next_id(), self.revision, Status.STARTING, now)
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
            request, _ = self.waiting.popleft()
            self._release()
            return [Fail(request, failure), *self._trim()]
        if len(self.coming) < len(self.waiting):
            return [self._start(now)]
        return []

    def finished(self, environment: int, now: float, *, retire: str = "") -> list[Action]:
        """An invocation ended and its environment is free again, or has to go when `retire` says why."""
        found = self.environments.get(environment)
        if found is None or found.status is not Status.BUSY:
            return []
        self._release()
        found.retiring = found.retiring or retire
        return self._freed(found, now)

    def rejected(self, environment: int, request: Any, arrived: float, now: float) -> list[Action]:
        """An environment refused a request before any of it reached the runtime: another one, invisibly (rule 4)."""
        self._forget(environment)
        if self.idle:
            return [self._dispatch(self.idle.pop(), request)]
        self.waiting.appendleft((request, arrived))
        return [self._start(now)] if len(self.coming) < len(self.waiting) else []

    def lost(self, environment: int, now: float) -> list[Action]:
        """An environment is gone. Whatever it ran has been answered by the caller of this."""
        found = self.environments.get(environment)
        if found is None:
            return []
        if environment in self.coming:
            return self.start_failed(environment, now)
        if found.status is Status.BUSY:
            self._release()
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

    def configure(self, revision: str, reserved: int | None, now: float) -> list[Action]:
        """The function's deployment or reservation changed; environments of another revision go once they are idle."""
        if reserved != self.reserved:
            self.reserved = reserved
            self.rate = _request_rate(self.account, reserved, now)
        if revision == self.revision:
            return []
        self.revision = revision
        actions: list[Action] = []
        for found in list(self.environments.values()):
            if found.revision != revision:
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
            return [Retire(found.id, "the function was updated")]
        return self.retire(found.id, "the function was updated")

    def tick(self, now: float, *, idle_timeout: float, start_timeout: float) -> list[Action]:
        """Retires what was idle for too long, and throttles what waited for an environment for too long."""
        actions: list[Action] = []
        while self.idle and now - self.idle[0].since > idle_timeout:
            actions += self.retire(self.idle[0].id, "idle")
        while self.waiting and now - self.waiting[0][1] > start_timeout:
            request, _ = self.waiting.popleft()
            self._release()
            actions.append(Throttle(request, ThrottleReason.ACCOUNT))
        return actions + self._trim() + self._replace(now)

    def abandon(self) -> list[Any]:
        """The function is gone: the requests that still wait, for the caller to answer."""
        waiting = [request for request, _ in self.waiting]
        self.waiting.clear()
        for _ in waiting:
            self._release()
        return waiting

    def _start(self, now: float) -> Start:
        found = PlacedEnvironment(self._next_id(), self.revision, Status.REQUESTED, now)
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
                fresh = PlacedEnvironment(self._next_id(), self.revision, Status.STARTING, now)
                self.environments[fresh.id] = fresh
                self.replacing[fresh.id] = number
                actions.append(Start(fresh.id, own_pod=True))
        return actions

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _dispatch(self, found: PlacedEnvironment, request: Any) -> Dispatch:
        found.status = Status.BUSY
        return Dispatch(request, found.id)

    def _freed(self, found: PlacedEnvironment, now: float) -> list[Action]:
        """The environment runs nothing: it goes, takes the request that waited longest, or is idle."""
        if found.revision != self.revision:
            found.retiring = found.retiring or "the function was updated"
        if found.retiring:
            self.environments.pop(found.id, None)
            actions: list[Action] = [Retire(found.id, found.retiring)]
            missing = len(self.waiting) - len(self.coming)
            return actions + [self._start(now) for _ in range(missing)]
        if self.waiting:
            request, _ = self.waiting.popleft()
            return [self._dispatch(found, request), *self._trim()]
        found.status = Status.IDLE
        found.since = now
        self.idle.append(found)
        return []

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
        self.scaling.give_back()
        return Cancel(found.id)

    def _forget(self, environment: int) -> None:
        found = self.environments.pop(environment, None)
        self.coming.pop(environment, None)
        if found is not None and found.status is Status.IDLE:
            self.idle.remove(found)

    def _release(self) -> None:
        """Gives one unit of concurrency back to where it was taken from."""
        self.in_flight -= 1
        if self._shared.popleft():
            self.account.release()


def place(account: Account, name: str, revision: str, reserved: int | None, now: float) -> FunctionPlacement:
    """Placement of a function that has no environment yet."""
    scaling = token_bucket.full(limits.SCALING_RATE, limits.SCALING_RATE / limits.SCALING_RATE_PERIOD_S, now)
    return FunctionPlacement(account, name, revision, reserved, _request_rate(account, reserved, now), scaling)


def _request_rate(account: Account, reserved: int | None, now: float) -> TokenBucket:
    """A reservation has a rate of its own; all others share their account's (§5.10)."""
    return account.requests if reserved is None else request_rate(reserved, now)
