"""Runs one function: carries out what placement decides, and tells it what became of that."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine

from kubelambda.api import environment_protocol
from kubelambda.core.account.ledger import Account
from kubelambda.core.invoke import invoke_error
from kubelambda.core.placement.placement import (
    Action,
    Cancel,
    Dispatch,
    Fail,
    FunctionPlacement,
    Retire,
    Start,
    Status,
    Throttle,
    place,
)
from kubelambda.frontend.cold_start.starter import InitializationFailed, NotStarted, Started, Starter, Target, Watcher
from kubelambda.frontend.dispatch.environment_handle import EnvironmentHandle
from kubelambda.frontend.dispatch.invocation import Invocation
from kubelambda.frontend.dispatch.metrics import FunctionMetrics

_RETRY_S = 0.5
_OOM_WAIT_S = 1.0
_BILLED_MS = environment_protocol.BILLED_MS.lower().encode()
_RETIRE = environment_protocol.RETIRE.lower().encode()
HANDED_OVER = "handed over"

log = logging.getLogger(__name__)


class Dispatcher:
    """One function on the frontend that owns its account. Implements `EnvironmentEvents`."""

    def __init__(
        self,
        target: Target,
        *,
        account: Account,
        reserved: int | None,
        starter: Starter,
        metrics: FunctionMetrics,
        killed_by_memory: Callable[[str, str], bool],
    ) -> None:
        self.target = target
        self.placement: FunctionPlacement = place(
            account, target.name, target.configuration.revision, reserved, time.monotonic()
        )
        self.environments: dict[int, EnvironmentHandle] = {}
        self._starter = starter
        self._metrics = metrics
        self._killed_by_memory = killed_by_memory
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: list[Invocation] | None = None
        self.released = False

    # -- what the frontend asks -------------------------------------------------------------------------------------

    def invoke(self, invocation: Invocation) -> None:
        """Places an invocation; it is answered when it is."""
        if self._held is not None:
            self._held.append(invocation)
            return
        self._execute(self.placement.arrive(invocation, invocation.started))

    def hold(self) -> None:
        """Keeps what arrives until `let_go`: environments are being adopted."""
        self._held = self._held or []

    def let_go(self) -> None:
        """Places what was held."""
        held, self._held = self._held or [], None
        for invocation in held:
            self.invoke(invocation)

    def configure(self, target: Target, reserved: int | None) -> None:
        """A new deployment or reservation."""
        self.target = target
        self._execute(self.placement.configure(target.configuration.revision, reserved, time.monotonic()))

    def check(self) -> None:
        """Ends the environments whose answer is overdue, those too that finish what they run after a release."""
        now = time.monotonic()
        for found in list(self.environments.values()):
            found.check(now)

    def tick(self, idle_timeout: float, start_timeout: float) -> None:
        """What time alone decides."""
        actions = self.placement.tick(time.monotonic(), idle_timeout=idle_timeout, start_timeout=start_timeout)
        self._execute(actions)
        self._metrics.concurrent.set(self.placement.in_flight)
        self._metrics.environments.set(len(self.environments))

    def adopt(self, started: Started, *, busy: bool) -> int:
        """Takes over an environment of the present revision."""
        revision = self.target.configuration.revision
        number, actions = self.placement.adopt(revision, time.monotonic(), busy=busy)
        self._keep(number, started)
        self._execute(actions)
        return number

    def freed(self, number: int) -> None:
        """An adopted environment finished what it ran for its former owner."""
        self._execute(self.placement.finished(number, time.monotonic()))

    def release(self) -> None:
        """Another frontend owns the function now: environments stay, invocations in flight finish here."""
        self.released = True
        for number in list(self.environments):
            self._execute(self.placement.retire(number, HANDED_OVER))

    def remove(self) -> None:
        """The function was deleted: who still waits for an environment is told so."""
        held, self._held = self._held or [], None
        for invocation in [*self.placement.abandon(), *held]:
            invocation.fail(invoke_error.not_found(f"{invocation.arn}:$LATEST"))
        self.release()

    def pod_ending(self, uid: str) -> None:
        """A pod is asked to end: nothing new for it."""
        for found in list(self.environments.values()):
            if found.uid == uid:
                self._execute(self.placement.retire(found.id, "the pod ends"))

    def resize_refused(self, uid: str) -> None:
        """A pod's node cannot grant the size of the function."""
        for found in list(self.environments.values()):
            if found.uid == uid:
                self._misplaced(found.id)

    def running(self) -> dict[int, str | None]:
        """The request that each environment runs, by the ledger; not those that run something for a former owner."""
        known = self.placement.environments
        return {
            number: found.invocation.id if found.invocation else None
            for number, found in self.environments.items()
            if found.invocation is not None or (number in known and known[number].status is Status.IDLE)
        }

    def correct(self, number: int) -> None:
        """An environment's agent runs something else than the ledger has: nobody waits for it any longer."""
        found = self.environments.get(number)
        if found is not None and found.invocation is not None:
            found.abandon()
        else:
            self._execute(self.placement.retire(number, "it runs what it was not given"))

    def knows(self, uid: str) -> bool:
        """Whether a pod is one of ours."""
        return any(found.uid == uid for found in self.environments.values())

    @property
    def in_flight(self) -> int:
        """Invocations that are not answered yet."""
        return self.placement.in_flight + len(self._held or [])

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight or on its way."""
        return self.in_flight == 0

    # -- EnvironmentEvents -----------------------------------------------------------------------------------------

    def answered(self, environment: EnvironmentHandle, invocation: Invocation, headers: dict[bytes, bytes]) -> None:
        """An invocation was answered: its environment is free."""
        now = time.monotonic()
        self._metrics.invocations.inc()
        self._metrics.duration.observe(now - invocation.started)
        if b"x-amz-function-error" in headers:
            self._metrics.errors.inc()
        billed_ms = int(headers.get(_BILLED_MS, b"0"))
        self._metrics.billed_gb_seconds.inc(billed_ms * self.target.configuration.memory_size / 1_024_000)
        retire = "the agent asked for it" if _RETIRE in headers else ""
        self._execute(self.placement.finished(environment.id, now, retire=retire))

    def rejected(self, environment: EnvironmentHandle, invocation: Invocation) -> None:
        """The event reached nobody: another environment takes it, invisibly (rule 4)."""
        self.environments.pop(environment.id, None)
        environment.close()
        self._starter.delete_soon(self.target.namespace, environment.pod, self.target.configuration.timeout)
        self._execute(self.placement.rejected(environment.id, invocation, invocation.started, time.monotonic()))

    def failed(self, environment: EnvironmentHandle, invocation: Invocation | None, why: str) -> None:
        """The environment is gone; its invocation is answered with a Lambda error, never sent again (rule 4)."""
        self.environments.pop(environment.id, None)
        environment.close()
        if invocation is not None:
            self._metrics.invocations.inc()
            self._metrics.errors.inc()
            self._spawn(self._explain(environment, invocation, why))
        else:
            self._starter.delete_soon(self.target.namespace, environment.pod, 0)
            self._execute(self.placement.lost(environment.id, time.monotonic()))

    async def _explain(self, environment: EnvironmentHandle, invocation: Invocation, why: str) -> None:
        """Answers with what ended the environment; Kubernetes needs a moment to say that it was the memory."""
        deadline = time.monotonic() + _OOM_WAIT_S
        killed = False
        while not killed and time.monotonic() < deadline and "ended" in why:
            await asyncio.sleep(0.1)
            killed = self._killed_by_memory(self.target.namespace, environment.pod)
        if killed:
            invocation.function_error(invoke_error.out_of_memory(invocation.id))
        else:
            invocation.function_error(invoke_error.sandbox_failure(invocation.id, why))
        self._starter.delete_soon(self.target.namespace, environment.pod, 0)
        self._execute(self.placement.lost(environment.id, time.monotonic()))

    # -- carrying out -----------------------------------------------------------------------------------------------

    def _execute(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Dispatch(request=invocation, environment=number):
                    self.environments[number].send(invocation)
                case Throttle(request=invocation, reason=reason):
                    self._metrics.throttled(reason.value)
                    invocation.fail(invoke_error.throttled(reason.value))
                case Start(environment=number, own_pod=own_pod):
                    self._spawn(self._start(number, own_pod=own_pod))
                case Retire(environment=number, why=why):
                    self._retire(number, why)
                case Fail(request=invocation, failure=failure):
                    self._metrics.invocations.inc()
                    self._metrics.errors.inc()
                    invocation.function_error(json.dumps(failure).encode())
                case Cancel():
                    pass  # the start finds out by itself when it is about to begin

    async def _start(self, number: int, *, own_pod: bool) -> None:
        target = self.target

        def lost(in_flight: bool) -> None:
            found = self.environments.get(number)
            if found is not None:
                found.lost(in_flight)

        def claim_lost() -> None:
            self._execute(self.placement.retire(number, "the claim was lost"))

        watcher = Watcher(
            begin=lambda: self.placement.begun(number),
            lost=lost,
            claim_lost=claim_lost,
            misplaced=lambda: self._misplaced(number),
        )
        try:
            started = await self._starter.start(target, watcher, own_pod=own_pod)
        except InitializationFailed as error:
            self._execute(self.placement.start_failed(number, time.monotonic(), error.error))
            return
        except NotStarted as error:
            log.warning("function %s/%s: %s", target.namespace, target.name, error)
            await asyncio.sleep(_RETRY_S)
            self._execute(self.placement.start_failed(number, time.monotonic()))
            return
        if started is None:
            return
        self._metrics.cold_starts.inc()
        self._keep(number, started)
        if number not in self.placement.environments:
            self._retire(number, "the function was updated")
            return
        self._execute(self.placement.ready(number, time.monotonic()))
        if self._starter.refused_size(target.namespace, started.pod):
            self._misplaced(number)
        if self.released:
            self._execute(self.placement.retire(number, HANDED_OVER))

    def _misplaced(self, number: int) -> None:
        """Limits of the function at once; a pod that the scheduler finds a place for as soon as there is one."""
        found = self.environments.get(number)
        if found is not None and not self.released:
            self._starter.limit_soon(self.target, found.pod)
            self._execute(self.placement.misplace(number, time.monotonic()))

    def _keep(self, number: int, started: Started) -> None:
        timeout = float(self.target.configuration.timeout)
        self.environments[number] = EnvironmentHandle(
            number, started.pod, started.uid, started.token, timeout, self, started.connection
        )

    def _retire(self, number: int, why: str) -> None:
        found = self.environments.pop(number, None)
        if found is None:
            return
        found.close()
        if why != HANDED_OVER:
            self._starter.delete_soon(self.target.namespace, found.pod, found.timeout)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
