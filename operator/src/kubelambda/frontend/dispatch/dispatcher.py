"""Runs one version of a function: carries out what placement decides, and tells it what became of that."""

import json
import logging
import math
import secrets
import time
from dataclasses import replace
from functools import partial

from kubelambda.api import environment_protocol
from kubelambda.api.environment_protocol import EnvironmentState
from kubelambda.core.invoke import invoke_error
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.core.placement.actions import Action, Cancel, Dispatch, Fail, Release, Retire, Start, Throttle
from kubelambda.core.placement.function_share import FunctionShare, ThrottleReason
from kubelambda.core.placement.placement import VersionPlacement
from kubelambda.core.placement.retirement import ASKED, DELETED, HANDED_OVER, UPDATED
from kubelambda.frontend.cold_start.start import FailureAnswer, Started, Target
from kubelambda.frontend.cold_start.starter import Starter
from kubelambda.frontend.dispatch import environment_end, sudden_end
from kubelambda.frontend.dispatch.environment_end import EnvironmentEnd
from kubelambda.frontend.dispatch.environment_handle import EnvironmentHandle
from kubelambda.frontend.dispatch.environment_starts import EnvironmentStarts
from kubelambda.frontend.dispatch.environment_table import EnvironmentTable
from kubelambda.frontend.dispatch.invocation import Invocation
from kubelambda.frontend.dispatch.metrics import FunctionMetrics
from kubelambda.frontend.dispatch.surroundings import Surroundings
from kubelambda.wire.background_tasks import BackgroundTasks

_RETIRE = environment_protocol.RETIRE.lower().encode()
_BUSY = environment_protocol.BUSY.lower().encode()
_RATES = (ThrottleReason.RATE, ThrottleReason.RESERVED_RATE)

log = logging.getLogger(__name__)


class Dispatcher:
    """One version of a function, where its account is owned. Implements `EnvironmentEvents` and `StartEvents`."""

    def __init__(
        self,
        target: Target,
        *,
        share: FunctionShare,
        starter: Starter,
        metrics: FunctionMetrics,
        surroundings: Surroundings,
    ) -> None:
        self.target = replace(target, term=secrets.token_hex(8))
        self.placement = VersionPlacement(share, target.configuration.revision)
        self.environments = EnvironmentTable(self, starter.deletions, target.namespace)
        self._starter = starter
        self._starts = EnvironmentStarts(starter, self)
        self._metrics = metrics
        self._surroundings = surroundings
        self._tasks = BackgroundTasks()
        self._held: list[Invocation] | None = None
        self._recalling = 0
        self._parting = ""

    # -- what the frontend asks -------------------------------------------------------------------------------------

    def invoke(self, invocation: Invocation) -> None:
        """Places an invocation; it is answered when it is."""
        if self._held is not None:
            self._held.append(invocation)
            return
        share = self.placement.share
        if share.provisioned and invocation.qualifier in share.provisioned:
            again = partial(self._again, invocation, rated=False)
            if self._surroundings.leases.recall_before_spilling(self.placement, invocation.qualifier, again):
                self._recalling += 1
                return
        self._place(invocation, self.placement.arrive(invocation, invocation.started, invocation.qualifier))

    def _place(self, invocation: Invocation, actions: list[Action]) -> None:
        """Carries out what was decided; but nobody is throttled while leases keep what the account has."""
        if len(actions) == 1 and isinstance(actions[0], Throttle):
            reason = actions[0].reason
            again = partial(self._again, invocation, rated=reason not in _RATES)
            if self._surroundings.leases.recall(self.placement, again, reason):
                self._recalling += 1
                return
        self._execute(actions)

    def _again(self, invocation: Invocation, *, rated: bool) -> None:
        """The leases that may have been in the way are back, or known to be in use."""
        self._recalling -= 1
        if self._parting:
            self._turn_away(invocation)
        else:
            now, qualifier = time.monotonic(), invocation.qualifier
            self._place(invocation, self.placement.arrive(invocation, now, qualifier, rated=rated))

    def hold(self) -> None:
        """Keeps what arrives until `let_go`: environments are being adopted."""
        self._held = self._held or []

    def let_go(self) -> None:
        """Places what was held."""
        held, self._held = self._held or [], None
        for invocation in held:
            self.invoke(invocation)

    def configure(self, target: Target) -> None:
        """A new deployment."""
        self.target = target
        self._execute(self.placement.configure(target.configuration.revision, time.monotonic()))
        self._surroundings.leases.recall_all(self.placement)

    def check(self) -> None:
        """Ends the environments whose answer is overdue, those too that finish what they run after a release."""
        self.environments.check(time.monotonic())

    def tick(self, idle_timeout: float, start_timeout: float, max_age: float) -> None:
        """What time alone decides."""
        actions = self.placement.tick(
            time.monotonic(), idle_timeout=idle_timeout, start_timeout=start_timeout, max_age=max_age
        )
        self._execute(actions)

    def keep(self, qualifier: str, count: int | None) -> None:
        """Of the provisioned environments of a qualifier so many stay; None: all of them."""
        self._execute(self.placement.keep(qualifier, count, time.monotonic()))

    def adopt(self, started: Started, revision: str, *, busy: bool, provisioned: str = "") -> int:
        """Takes over an environment that is of `revision`, and kept for the qualifier `provisioned`, if any."""
        now = time.monotonic()
        number, actions = self.placement.adopt(revision, now, busy=busy, provisioned=provisioned)
        self.environments.keep(number, started, self.target)
        self._execute(actions)
        return number

    def expect(self, started: Started) -> int:
        """Takes over an environment of the present revision that is still in its INIT: `ready` or `give_up` follows."""
        self.environments.keep(number := self.placement.expect(time.monotonic()), started, self.target)
        return number

    def ready(self, number: int) -> None:
        """An environment finished its INIT."""
        self._execute(self.placement.ready(number, time.monotonic()))

    def give_up(self, number: int) -> None:
        """An expected environment did not become one."""
        self._retire(number, "its INIT failed")
        self._execute(self.placement.start_failed(number, time.monotonic()))

    def ran_elsewhere(self, qualifier: str, invocations: int) -> None:
        """Invocations of a qualifier ran on a lease of an environment that is provisioned for it."""
        self._metrics.dispatched(qualifier, self.target.configuration.version, provisioned=True, count=invocations)

    def freed(self, number: int, retire: str = "", now: float = 0.0) -> None:
        """An environment finished what it ran, for whomever: it is free, or goes for the reason `retire`."""
        self._execute(self.placement.finished(number, now or time.monotonic(), retire=retire))

    def spoilt(self, number: int, *, may_be_node: bool, refused: bool) -> None:
        """An environment is of no use any more, says who held a lease of it."""
        if (found := self.environments.get(number)) is not None:
            if may_be_node:
                self._surroundings.silent_node(self.target.namespace, found.pod)
            self.environments.give_up(found, refused=refused)
        self._execute(self.placement.lost(number, time.monotonic()))

    def release(self) -> None:
        """Another frontend owns the function now, and gets what waits; what is in flight finishes here."""
        waiting = self._part(HANDED_OVER)
        self._surroundings.leases.part(self)
        for invocation in waiting:
            self._turn_away(invocation)

    def close(self) -> None:
        """The process ends: lets go of the environments, which stay."""
        self.environments.close()

    def remove(self) -> None:
        """The function or the version was deleted: who still waits for an environment is told so."""
        for invocation in self._part(DELETED):
            self._turn_away(invocation)
        self._surroundings.leases.recall_all(self.placement)

    def _turn_away(self, invocation: Invocation) -> None:
        """An invocation waited here for what this frontend does not run any more."""
        if self._parting == HANDED_OVER:
            self._surroundings.elsewhere(invocation)
        else:
            invocation.gone()

    @property
    def released(self) -> bool:
        """Whether this frontend does not run the function any more."""
        return bool(self._parting)

    def _part(self, why: str) -> list[Invocation]:
        """Takes nothing new; what waited until now is the caller's."""
        self._parting = why
        held, self._held = self._held or [], None
        waiting = [*self.placement.abandon(time.monotonic()), *held]
        for number in list(self.environments):
            self._execute(self.placement.retire(number, why))
        # Whatever has not begun to start need not.
        self._execute(self.placement.tick(time.monotonic(), idle_timeout=math.inf, start_timeout=math.inf))
        return waiting

    def pod_ending(self, uid: str) -> None:
        """A pod is asked to end: nothing new for it."""
        for found in self.environments.of_pod(uid):
            self._execute(self.placement.retire(found.id, "the pod ends"))

    def resize_refused(self, uid: str) -> None:
        """A pod's node cannot grant the size of the function."""
        for found in self.environments.of_pod(uid):
            self.misplaced(found.id)

    def doubt(self, number: int) -> None:
        """An environment may be gone with its node: nothing new for it until it is `trusted` or found `silent`."""
        self.placement.doubt(number)

    def trusted(self, number: int) -> None:
        """An environment that was doubted is there."""
        self._execute(self.placement.trust(number, time.monotonic()))

    def silent(self, number: int) -> None:
        """An environment does not answer when it is asked how it is."""
        if (found := self.environments.get(number)) is not None:
            found.end(environment_end.SILENT)

    def running(self) -> dict[int, str | None]:
        """The request that each environment runs, by the ledger; not those that run something for a former owner."""
        return self.environments.running(self.placement.environments)

    def correct(self, number: int) -> None:
        """An environment's agent runs something else than the ledger has: nobody waits for it any longer."""
        found = self.environments.get(number)
        if found is not None and found.invocation is not None:
            found.end(environment_end.FORGOTTEN)
        else:
            self._execute(self.placement.retire(number, "it runs what it was not given"))

    def knows(self, uid: str) -> bool:
        """Whether a pod is one of ours."""
        return bool(self.environments.of_pod(uid))

    @property
    def in_flight(self) -> int:
        """Invocations that are not answered yet."""
        return self.placement.in_flight + len(self._held or []) + self._recalling

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight or on its way."""
        return self.in_flight == 0

    # -- EnvironmentEvents -----------------------------------------------------------------------------------------

    def answered(
        self, environment: EnvironmentHandle, invocation: Invocation, headers: dict[bytes, bytes], body: bytes
    ) -> None:
        """An invocation was answered: its environment is free, or goes with the answer to who forwarded the request."""
        leased = b""
        if invocation.holder and _RETIRE not in headers and _BUSY not in headers:
            leased = self._surroundings.leases.offer(self, environment, invocation)
        invocation.succeed(headers, body, leased)
        now = time.monotonic()
        self._metrics.answered(invocation, headers, self.target.configuration.memory_size, now)
        if not leased and (_BUSY not in headers or not environment.settle(headers, self._settled)):
            retire = ASKED if _RETIRE in headers else ""
            self._execute(self.placement.finished(environment.id, now, retire=retire))

    def _settled(self, environment: EnvironmentHandle, state: EnvironmentState, billed_ms: int) -> None:
        """Extensions are done with what was answered, which has counted until now."""
        self._metrics.went_on(state, billed_ms, self.target.configuration.memory_size)
        self.freed(environment.id, ASKED if state.draining else "")

    def rejected(self, environment: EnvironmentHandle, invocation: Invocation) -> None:
        """The event reached nobody: another environment takes it, invisibly (rule 4)."""
        self.environments.give_up(environment, refused=True)
        now = time.monotonic()
        if self._parting:
            self._execute(self.placement.lost(environment.id, now))
            self._surroundings.elsewhere(invocation)
        else:
            self._execute(
                self.placement.rejected(environment.id, invocation, invocation.started, now, invocation.qualifier)
            )

    def failed(self, environment: EnvironmentHandle, invocation: Invocation | None, end: EnvironmentEnd) -> None:
        """The environment is gone; its invocation is answered with a Lambda error, never sent again (rule 4)."""
        if end.may_be_node:
            self._surroundings.silent_node(self.target.namespace, environment.pod)
        if invocation is None:
            self.environments.drop(environment, 0)
            self._execute(self.placement.lost(environment.id, time.monotonic()))
            return
        self.environments.pop(environment.id, None)
        environment.close()
        self._metrics.ran(invocation.qualifier, invocation.version, error=True)
        self._tasks.start(self._explain(environment, invocation, end))

    async def _explain(self, environment: EnvironmentHandle, invocation: Invocation, end: EnvironmentEnd) -> None:
        """Answers with what ended the environment."""
        why = partial(self._surroundings.why_ended, self.target.namespace, environment.pod)
        invocation.function_error(await sudden_end.error_of(invocation, end, why))
        self.environments.drop(environment, 0)
        self._execute(self.placement.lost(environment.id, time.monotonic()))

    # -- StartEvents ------------------------------------------------------------------------------------------------

    def begun(self, number: int) -> bool:
        """A pod is about to be taken or made for a start."""
        return self.placement.begun(number)

    def started(self, number: int, started: Started, target: Target) -> None:
        """An environment is ready."""
        self._metrics.started()
        self.environments.keep(number, started, target)
        if number not in self.placement.environments:
            self._retire(number, UPDATED)
            return
        self.ready(number)
        if self._starter.refused_size(target.namespace, started.pod):
            self.misplaced(number)
        if self._parting:
            self._execute(self.placement.retire(number, self._parting))

    def start_failed(self, number: int, answer: FailureAnswer | None) -> None:
        """No environment came of a start."""
        self._execute(self.placement.start_failed(number, time.monotonic(), answer))

    def connection_lost(self, number: int) -> None:
        """The connection to an environment ended."""
        if (found := self.environments.get(number)) is not None:
            found.lost()

    def claim_lost(self, number: int) -> None:
        """The pod of an environment is somebody else's."""
        self._execute(self.placement.retire(number, "the claim was lost"))

    def misplaced(self, number: int) -> None:
        """Limits of the function at once; a pod that the scheduler finds a place for as soon as there is one."""
        found = self.environments.get(number)
        if found is not None and not self._parting:
            self._starter.limit_soon(self.target, found.pod)
            self._execute(self.placement.misplace(number, time.monotonic()))

    # -- carrying out -----------------------------------------------------------------------------------------------

    def _execute(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Dispatch):  # nearly every action is one, and `match` costs several times as much
                self._dispatch(action.request, action.environment)
            else:
                self._carry_out(action)

    def _dispatch(self, invocation: Invocation, number: int) -> None:
        if invocation.qualifier in self.placement.share.provisioned:
            provisioned = bool(self.placement.environments[number].provisioned)
            self._metrics.dispatched(invocation.qualifier, invocation.version, provisioned=provisioned)
        self.environments[number].send(invocation)

    def _carry_out(self, action: Throttle | Start | Retire | Fail | Release | Cancel) -> None:
        match action:
            case Throttle(request=invocation, reason=reason):
                self._metrics.throttled(reason.value)
                invocation.fail(invoke_error.throttled(reason.value))
            case Start(environment=number, own_pod=own_pod):
                self._start(number, own_pod=own_pod)
            case Retire(environment=number, why=why):
                self._retire(number, why)
            case Fail(request=invocation, failure=failure):
                self._fail(invocation, failure)
            case Release(environment=number, again=again):
                self._surroundings.first_to_end(self.target.namespace, self.environments[number].pod, not again)
            case Cancel(environment=number):
                self._starts.cancel(number)

    def _start(self, number: int, *, own_pod: bool) -> None:
        """Begins a start, unless an environment comes back from who holds a lease of it for whoever waits."""

        def begin() -> None:
            if number in self.placement.environments:
                self._starts.begin(number, self.target, own_pod=own_pod)

        if own_pod or not self._surroundings.leases.recall(self.placement, begin):
            begin()

    def _fail(self, invocation: Invocation, failure: FailureAnswer) -> None:
        """An environment could not start: the function's own fault is a function error, all else is Lambda's."""
        if isinstance(failure, InvokeError):
            invocation.fail(failure)
            return
        self._metrics.ran(invocation.qualifier, invocation.version, error=True)
        invocation.function_error(json.dumps(failure.error).encode(), failure.log)

    def _retire(self, number: int, why: str) -> None:
        if why == HANDED_OVER:
            self.environments.let_go(number)
        elif (found := self.environments.get(number)) is not None:
            self.environments.drop(found, found.timeout)
