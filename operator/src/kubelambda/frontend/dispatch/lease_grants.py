"""Leases that this frontend has granted to others: what their messages and the clock do to its dispatchers."""

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from kubelambda.core.placement.function_share import FunctionShare, ThrottleReason, UnitSource
from kubelambda.core.placement.granted_leases import LEASE_S, GrantedLease, GrantedLeases, LeaseState
from kubelambda.core.placement.placement import VersionPlacement
from kubelambda.core.placement.retirement import ASKED
from kubelambda.frontend.cold_start.agent_state import agent_state
from kubelambda.frontend.cold_start.start import Target
from kubelambda.frontend.dispatch.environment_handle import EnvironmentHandle
from kubelambda.frontend.dispatch.environment_table import EnvironmentTable
from kubelambda.frontend.dispatch.invocation import Invocation
from kubelambda.frontend.dispatch.lease_messages import (
    RECALL_PATH,
    GivenBack,
    LeaseTerms,
    Outcome,
    Recall,
    RecallAnswer,
    UnusableLease,
    parse_recall_answer,
)
from kubelambda.wire.background_tasks import BackgroundTasks

RECALL_S = 0.5
"""How long a holder may take to answer before it counts as gone: its leases are then waited for until they lapse."""
_WAIT_S = 20
_PAUSE_S = 0.25
_IDS = 500
"""Leases in one message at most."""

log = logging.getLogger(__name__)


class PeerCall(Protocol):
    """Asks another frontend something."""

    async def __call__(self, address: str, path: bytes, body: bytes, seconds: float) -> bytes:
        """The body of its answer. Raises `OSError` or `TimeoutError`."""


class Lessor(Protocol):
    """A dispatcher, as far as leases are concerned."""

    target: Target
    placement: VersionPlacement
    environments: EnvironmentTable

    @property
    def released(self) -> bool:
        """Whether this frontend does not run the function any more."""

    def ran_elsewhere(self, qualifier: str, invocations: int) -> None:
        """Invocations of a qualifier ran on a lease of an environment that is provisioned for it."""

    def freed(self, number: int, retire: str = "") -> None:
        """An environment runs nothing any more; `retire` says why it must take nothing new."""

    def spoilt(self, number: int, *, may_be_node: bool, refused: bool) -> None:
        """An environment is of no use any more."""


class LeaseGrants:
    """The leases of every dispatcher of this frontend. `call` asks other frontends."""

    def __init__(self, call: PeerCall) -> None:
        self._call = call
        self._book = GrantedLeases(secrets.token_hex(4))
        self._lessors: dict[str, Lessor] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._tasks = BackgroundTasks()

    # -- granting ---------------------------------------------------------------------------------------------------

    def offer(self, lessor: Lessor, environment: EnvironmentHandle, invocation: Invocation) -> bytes:
        """The header line of an answer that a lease of its environment goes with; empty when none does.

        With one the environment stays as busy as it is.
        """
        placement, now = lessor.placement, time.monotonic()
        if not self._book.forwarded(placement, invocation.holder, now):
            return b""
        if lessor.released or not invocation.request.alive:
            return b""
        lease = self._book.grant(placement, environment.id, invocation.holder, now, invocation.qualifier)
        if lease is None:
            return b""
        self._lessors[lease.id] = lessor
        target = lessor.target
        return LeaseTerms(
            id=lease.id,
            term=target.term,
            function_uid=target.uid,
            version=target.configuration.version,
            revision=target.configuration.revision,
            pod=environment.pod,
            pod_uid=environment.uid,
            # Its holder counts from when it sent the request, which was before the request came here.
            seconds=LEASE_S + now - invocation.started,
            requests=lease.requests,
            qualifier=lease.qualifier,
        ).header()

    # -- calling back -----------------------------------------------------------------------------------------------

    def recall(
        self, placement: VersionPlacement, then: Callable[[], None], reason: ThrottleReason | None = None
    ) -> bool:
        """Calls back whatever may keep a request from being served, by the limit that it met or for an environment.

        False when there is nothing; else `then` is called, soon in any case.
        """
        leases = self._book.in_the_way(placement, reason)
        if not leases:
            return False
        if reason is not None:
            share = placement.share
            self._book.pause(share.account if _leases_of_others(leases, share) else share, time.monotonic())
        self._tasks.start(self._recall(leases, None if reason is not None else max(1, len(placement.waiting)), then))
        return True

    def recall_before_spilling(self, placement: VersionPlacement, qualifier: str, then: Callable[[], None]) -> bool:
        """Calls back what keeps a request from the provisioned concurrency of its qualifier; else as `recall`."""
        leases = self._book.before_spilling(placement, qualifier)
        if leases:
            self._tasks.start(self._recall(leases, 1, then))
        return bool(leases)

    def recall_all(self, placement: VersionPlacement) -> None:
        """The version, or what it may use, has changed."""
        leases = [lease for lease in self._book.of(placement) if lease.state is LeaseState.HELD]
        if leases:
            self._book.pause(placement.share, time.monotonic())
            self._tasks.start(self._recall(leases, None, lambda: None))

    async def _recall(self, leases: list[GrantedLease], wanted: int | None, then: Callable[[], None]) -> None:
        for holder, ids in self._book.ask(leases).items():
            for start in range(0, len(ids), _IDS):
                some = ids[start : start + _IDS]
                task = self._tasks.start(self._ask(holder, some, wanted))
                self._asking.update(dict.fromkeys(some, task))
        asked = {self._asking[lease.id] for lease in leases if lease.id in self._asking}
        if asked:
            await asyncio.wait(asked)
        then()

    async def _ask(self, holder: str, ids: list[str], wanted: int | None) -> None:
        try:
            answer = await self._answer(holder, ids, wanted)
        finally:
            for name in ids:
                self._asking.pop(name, None)
        if answer is None:
            self._book.unanswered(ids)
            return
        for name, use in answer.returned.items():
            self.end(GivenBack(name, use))
        self._book.kept(answer.kept, time.monotonic(), recalled=answer.recalled)
        self._book.unanswered(ids)  # what the answer did not mention

    async def _answer(self, holder: str, ids: list[str], wanted: int | None) -> RecallAnswer | None:
        try:
            async with asyncio.timeout(RECALL_S):
                body = await self._call(holder, RECALL_PATH, Recall(tuple(ids), wanted).encode(), RECALL_S)
            return parse_recall_answer(body)
        except (OSError, TimeoutError, UnusableLease) as error:
            log.info("frontend %s does not give leases back: %s", holder, error or type(error).__name__)
            return None

    # -- ending -----------------------------------------------------------------------------------------------------

    def end(self, given: GivenBack) -> None:
        """A lease came back."""
        lease = self._book.end(given.id, given.use, time.monotonic())
        if lease is None:
            return
        lessor = self._lessors.pop(given.id)
        if lease.qualifier:
            lessor.ran_elsewhere(lease.qualifier, given.use.invocations)
        if given.outcome is Outcome.FREE:
            lessor.freed(lease.environment)
        elif given.outcome is Outcome.RETIRING:
            lessor.freed(lease.environment, ASKED)
        else:
            lost, refused = given.outcome is Outcome.LOST, given.outcome is Outcome.REFUSED
            lessor.spoilt(lease.environment, may_be_node=lost, refused=refused)

    def part(self, lessor: Lessor) -> None:
        """Another frontend owns the function: it goes by what environments say, and they refuse who holds a lease."""
        for lease in self._book.of(lessor.placement):
            self._over(lease)
            lessor.freed(lease.environment)

    def tick(self) -> None:
        """Asks the environments of leases that were not given back in time."""
        for lease in self._book.lapsed(time.monotonic()):
            self._tasks.start(self._reclaim(lease, self._lessors[lease.id]))

    async def _reclaim(self, lease: GrantedLease, lessor: Lessor) -> None:
        """Waits until the environment of a lease says that it runs nothing.

        The agent tells us before it answers who holds the lease: whoever calls again at once finds the unit free.
        """
        handle = lessor.environments.get(lease.environment)
        try:
            while handle is not None and handle.connection is not None and lease.id in self._lessors:
                state = await agent_state(handle.connection, handle.pod, handle.token, wait_s=_WAIT_S)
                if state is None:
                    handle.connection.close()  # which ends the environment here
                elif not state.busy:
                    if lease.id in self._lessors:
                        self._over(lease)
                        lessor.freed(lease.environment)
                    return
                await asyncio.sleep(_PAUSE_S)
        except (OSError, TimeoutError):
            if handle is not None and handle.connection is not None:
                handle.connection.close()
        self._over(lease)

    def _over(self, lease: GrantedLease) -> None:
        self._book.forget(lease, time.monotonic())
        self._lessors.pop(lease.id, None)

    # -- counting ---------------------------------------------------------------------------------------------------

    def units(self) -> Counter[int]:
        """Units that are leased, by the `id` of a function's share. Holders count what they run with them."""
        return Counter(id(lease.version.share) for lease in self._book.leases.values() if lease.unit is not None)

    def unreserved(self) -> Counter[int]:
        """Of those, the units that are not reserved, by the `id` of the account."""
        return Counter(
            id(lease.version.share.account)
            for lease in self._book.leases.values()
            if lease.unit is not None and lease.unit.source is UnitSource.UNRESERVED
        )


def _leases_of_others(leases: Iterable[GrantedLease], share: FunctionShare) -> bool:
    """Whether other functions of the account hold leases too."""
    return any(lease.version.share is not share for lease in leases)
