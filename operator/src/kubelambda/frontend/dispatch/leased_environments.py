"""Environments that this frontend holds a lease of: it runs invocations there that it would have to forward else."""

import asyncio
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from kubelambda.api import environment_protocol
from kubelambda.core.environment import tokens
from kubelambda.core.placement.held_leases import HeldLease, HeldLeases, LeasedFunction
from kubelambda.core.placement.lease_use import LeaseUse
from kubelambda.frontend.cluster.views import PodView
from kubelambda.frontend.cold_start.start import Target
from kubelambda.frontend.dispatch import lease_messages, sudden_end
from kubelambda.frontend.dispatch.environment_end import EnvironmentEnd
from kubelambda.frontend.dispatch.environment_handle import EnvironmentHandle
from kubelambda.frontend.dispatch.invocation import Invocation
from kubelambda.frontend.dispatch.lease_grants import PeerCall
from kubelambda.frontend.dispatch.lease_messages import (
    GivenBack,
    LeaseTerms,
    Outcome,
    Recall,
    RecallAnswer,
    UnusableLease,
)
from kubelambda.frontend.dispatch.metrics import FunctionMetrics
from kubelambda.kube.reflector import Name
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.client import connect

_CONNECT_S = 1.0
_GIVE_BACK_S = 1.0
_MISSING_S = 0.3
"""How long a lease that was called back may be on its way here: less than whoever called it back waits."""
_KEEP_S = 30.0
"""How long a connection to an environment is kept without a lease: it often comes again."""
_SHY_S = 10.0
"""No leases are taken for so long after an environment could not be reached."""
_RETIRE = environment_protocol.RETIRE.lower().encode()

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What the leases of a frontend ask of the frontend around them."""

    key: bytes
    owner_of: Callable[[str], str | None]
    """Address of the frontend that owns a namespace; None when that is this one, or this one drains."""
    pod: Callable[[Name], PodView | None]
    """A pod as Kubernetes describes it."""
    metrics_of: Callable[[Name], FunctionMetrics]
    why_ended: Callable[[str, str], str]
    """What Kubernetes says of the end of a pod."""
    elsewhere: Callable[[Invocation], None]
    """Takes an invocation that reached nobody."""


@dataclass(slots=True)
class _Place:
    """An environment, the lease of it if there is one at present, and what it runs."""

    handle: EnvironmentHandle
    target: Target
    metrics: FunctionMetrics
    lease: HeldLease | None = None
    running: HeldLease | None = None
    """The lease that an invocation was sent on."""
    waiting: Invocation | None = None
    """What waits for the connection."""
    free_since: float = 0.0

    @property
    def usable(self) -> bool:
        """Whether an invocation can be sent."""
        connection = self.handle.connection
        return connection is not None and connection.ready


@dataclass(slots=True)
class LeasedEnvironments:
    """All leases that a frontend holds. Implements `EnvironmentEvents`."""

    around: Neighbourhood
    call: PeerCall
    _leases: HeldLeases = field(default_factory=HeldLeases)
    _places: dict[str, _Place] = field(default_factory=dict)
    """By pod uid."""
    _missing: dict[str, "asyncio.Future[None]"] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _shy_until: float = 0.0
    _tasks: BackgroundTasks = field(default_factory=BackgroundTasks)

    # -- requests ---------------------------------------------------------------------------------------------------

    def dispatch(self, target: Target, invocation: Invocation, qualifier: str) -> bool:
        """Runs an invocation in an environment of which there is a lease; False when there is none.

        `qualifier`: its own where that has provisioned concurrency, else empty.
        """
        owner = self.around.owner_of(target.namespace)
        if owner is None:
            return False
        lease = self._leases.take(_function(target, qualifier), owner, time.monotonic())
        if lease is None:
            return False
        place = self._places[lease.uid]
        if lease.connected and not place.usable:
            self._end(place, lease, Outcome.FREE)
            return False
        place.running = lease
        invocation.term = lease.term
        if lease.connected:
            place.handle.send(invocation)
        else:
            place.waiting = invocation
        return True

    @property
    def willing(self) -> bool:
        """Whether another lease would be of use."""
        return time.monotonic() >= self._shy_until

    def giving_back(self, target: Target, owner: str, qualifier: str) -> bytes:
        """The header line of a request to the owner: leases that are used up go back with it."""
        found = self._leases.used_up(owner, _function(target, qualifier), time.monotonic())
        self._let_go(found)
        return lease_messages.returned({lease.id: lease.use for lease in found})

    def granted(self, value: bytes, target: Target, owner: str, sent: float) -> None:
        """A lease came with the answer to a request that was `sent` to the owner."""
        try:
            terms = lease_messages.parse_terms(value)
        except UnusableLease as error:
            log.warning("frontend %s granted a lease that cannot be understood: %s", owner, error)
            return
        lease = _lease(terms, target, owner, sent)
        pod = self.around.pod((target.namespace, terms.pod))
        if not self._leases.add(lease, time.monotonic()):
            missing = self._missing.pop(lease.id, None)
            if missing is not None:
                missing.set_result(None)  # it goes back with the answer to who called it back
            else:
                self._give_back([GivenBack(lease.id, LeaseUse())], owner)
        elif pod is None or pod.uid != terms.pod_uid or pod.ending or not pod.ip or self._answers(lease.uid):
            self._leases.drop(lease)
            self._give_back([GivenBack(lease.id, LeaseUse())], owner)
        else:
            self._connect(lease, target, pod)

    # -- what the owner asks ----------------------------------------------------------------------------------------

    async def recall(self, recall: Recall) -> RecallAnswer:
        """Gives leases back. One that has not come yet is waited for: it is on its way, or will never come."""
        found = self._leases.recall(recall.ids, recall.wanted, time.monotonic())
        self._let_go(found.returned)
        returned = {lease.id: lease.use for lease in found.returned}
        kept = {lease.id: lease.use for lease in found.kept}
        if not found.recalled:
            kept |= dict.fromkeys(found.missing, LeaseUse())
        elif found.missing:  # what never comes is not mentioned: nobody knows what became of it
            loop = asyncio.get_running_loop()
            coming = {name: self._missing.setdefault(name, loop.create_future()) for name in found.missing}
            await asyncio.wait(coming.values(), timeout=_MISSING_S)
            for name, future in coming.items():
                if future.done():
                    returned[name] = LeaseUse()
                self._missing.pop(name, None)
        return RecallAnswer(returned, kept, found.recalled)

    # -- EnvironmentEvents -----------------------------------------------------------------------------------------

    def answered(
        self, environment: EnvironmentHandle, invocation: Invocation, headers: dict[bytes, bytes], body: bytes
    ) -> None:
        """An invocation was answered."""
        place, now = self._places[environment.uid], time.monotonic()
        lease, place.running = place.running, None
        place.metrics.answered(invocation, headers, place.target.configuration.memory_size, now)
        usable = _RETIRE not in headers
        if lease is None or self._leases.done(lease, now, usable=usable):
            invocation.succeed(headers, body)
        else:
            outcome = Outcome.FREE if usable else Outcome.RETIRING
            self._end(place, lease, outcome, lambda: invocation.succeed(headers, body))

    def rejected(self, environment: EnvironmentHandle, invocation: Invocation) -> None:
        """The event reached nobody: the owner finds another environment for it."""
        place = self._forgotten(environment)
        self._end(place, place.running, Outcome.REFUSED, lambda: self.around.elsewhere(invocation))

    def failed(self, environment: EnvironmentHandle, invocation: Invocation | None, end: EnvironmentEnd) -> None:
        """The environment is gone; its invocation is answered with a Lambda error, never sent again (rule 4)."""
        place = self._forgotten(environment)
        if invocation is None:
            self._end(place, place.lease, Outcome.FREE)  # if it is gone, its owner sees that too
            return
        place.metrics.ran(invocation.qualifier, invocation.version, error=True)
        self._tasks.start(self._explain(place, invocation, end))

    async def _explain(self, place: _Place, invocation: Invocation, end: EnvironmentEnd) -> None:
        why = partial(self.around.why_ended, place.target.namespace, place.handle.pod)
        error = await sudden_end.error_of(invocation, end, why)
        outcome = Outcome.LOST if end.may_be_node else Outcome.ENDED
        self._end(place, place.running, outcome, lambda: invocation.function_error(error))

    # -- time -------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Gives back what is not used any more; asked several times a second."""
        now = time.monotonic()
        for place in list(self._places.values()):
            place.handle.check(now)
        over: dict[str, list[GivenBack]] = {}
        found = self._leases.over(now, self.around.owner_of)
        for lease in found:
            over.setdefault(lease.owner, []).append(GivenBack(lease.id, lease.use))
        self._let_go(found)
        for owner, leases in over.items():
            self._give_back(leases, owner)
        for uid, place in list(self._places.items()):
            if place.lease is None and now - place.free_since > _KEEP_S:
                del self._places[uid]
                place.handle.close()

    def in_flight(self, *, provisioned: bool = True) -> Counter[Name]:
        """Invocations that run on leases, by function; 0 where a lease is only held.

        `provisioned`: those too that run on provisioned environments.
        """
        found: Counter[Name] = Counter()
        for lease in self._leases.leases.values():
            counts = lease.busy and (provisioned or not lease.function.qualifier)
            found[lease.function.namespace, lease.function.name] += counts
        return found

    def close(self) -> None:
        """Lets go of every connection."""
        for place in self._places.values():
            place.handle.close()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _answers(self, uid: str) -> bool:
        """Whether an answer is still on its way from an environment that runs nothing any more.

        It runs on the connection that the lease would need: a large one, or one to a caller who reads slowly.
        """
        place = self._places.get(uid)
        return place is not None and place.handle.invocation is not None

    def _connect(self, lease: HeldLease, target: Target, pod: PodView) -> None:
        """The lease is of use once there is a connection to its environment."""
        place = self._places.get(lease.uid)
        if place is not None and place.usable:
            place.target, place.lease, lease.connected = target, lease, True
            place.handle.timeout = float(target.configuration.timeout)
            return
        if place is not None:
            place.handle.close()
        token = tokens.environment_token(self.around.key, lease.uid)
        timeout = float(target.configuration.timeout)
        metrics = self.around.metrics_of((target.namespace, target.name))
        handle = EnvironmentHandle(next(self._numbers), lease.pod, lease.uid, token, timeout, self)
        place = self._places[lease.uid] = _Place(handle, target, metrics, lease)
        self._tasks.start(self._dial(place, lease, pod.ip))

    async def _dial(self, place: _Place, lease: HeldLease, ip: str) -> None:
        """Connects to an environment; a request may wait for that."""
        error = await self._reached(place.handle, ip)
        waiting, place.waiting = place.waiting, None
        present = self._places.get(lease.uid) is place
        if error is None and present:
            lease.connected = True
            if waiting is not None:
                place.handle.send(waiting)
            return
        place.handle.close()
        if error is not None:
            log.info("pod %s of a lease cannot be reached: %s", lease.pod, error or type(error).__name__)
            self._shy_until = time.monotonic() + _SHY_S
        if present:
            del self._places[lease.uid]

        def instead() -> None:
            if waiting is not None:
                self.around.elsewhere(waiting)

        self._end(place, lease, Outcome.FREE, instead)

    async def _reached(self, handle: EnvironmentHandle, ip: str) -> Exception | None:
        """Why there is no connection, if there is none."""
        try:
            handle.connection = await connect(
                ip, environment_protocol.CONTROL_PORT, lambda _: handle.lost(), _CONNECT_S
            )
        except (OSError, TimeoutError) as error:
            return error
        return None

    def _forgotten(self, environment: EnvironmentHandle) -> _Place:
        """The place of an environment that is of no use any more. One that was replaced before tells nothing more."""
        place = self._places.pop(environment.uid)
        environment.close()
        return place

    def _let_go(self, leases: list[HeldLease]) -> None:
        """Leases are over; the connections to their environments are kept for a while."""
        for lease in leases:
            place = self._places.get(lease.uid)
            if place is not None and place.lease is lease:
                place.lease, place.free_since = None, time.monotonic()

    def _end(
        self, place: _Place, lease: HeldLease | None, outcome: Outcome, then: Callable[[], None] = lambda: None
    ) -> None:
        """Gives a lease back, and calls `then` once its owner knows."""
        if lease is None:
            then()
            return
        self._let_go([lease])
        self._leases.drop(lease)
        place.running = None
        self._give_back([GivenBack(lease.id, lease.use, outcome)], lease.owner, then)

    def _give_back(self, leases: list[GivenBack], owner: str, then: Callable[[], None] = lambda: None) -> None:
        self._tasks.start(self._tell(leases, owner, then))

    async def _tell(self, leases: list[GivenBack], owner: str, then: Callable[[], None]) -> None:
        body = lease_messages.encode_given_back(leases)
        try:
            async with asyncio.timeout(_GIVE_BACK_S):
                await self.call(owner, lease_messages.RETURN_PATH, body, _GIVE_BACK_S)
        except (OSError, TimeoutError) as error:
            log.info("frontend %s does not take leases back: %s", owner, error or type(error).__name__)
        finally:
            then()


def _function(target: Target, qualifier: str) -> LeasedFunction:
    found = target.configuration
    return LeasedFunction(target.namespace, target.name, target.uid, found.version, found.revision, qualifier)


def _lease(terms: LeaseTerms, target: Target, owner: str, sent: float) -> HeldLease:
    names = (target.namespace, target.name, terms.function_uid, terms.version, terms.revision)
    return HeldLease(
        id=terms.id,
        owner=owner,
        term=terms.term,
        function=LeasedFunction(*names, terms.qualifier),
        pod=terms.pod,
        uid=terms.pod_uid,
        until=sent + terms.seconds,
        requests=terms.requests,
        since=time.monotonic(),
    )
