"""Taking over environments that another frontend started, or that outlived this one (DESIGN §5, Ownership).

An environment is what it says of itself: of which function and revision it is, whether it runs something, and whether
it is still in its INIT. Its labels only say whom to ask.
"""

import asyncio
import logging

from kubelambda.api import environment_protocol
from kubelambda.api.environment_protocol import EnvironmentState
from kubelambda.core.environment import tokens
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.views import PodView
from kubelambda.frontend.cold_start.agent_state import ANSWER_S, agent_state
from kubelambda.frontend.cold_start.start import Started
from kubelambda.frontend.cold_start.starter import Starter
from kubelambda.frontend.dispatch.dispatcher import Dispatcher
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.client import connect

_WAIT_S = 20
_PAUSE_S = 0.25
"""Before an environment is asked again: an agent of an earlier release does not wait."""
_HOLD_S = 1.0
"""Requests wait this long for environments to be adopted: one that does not answer by then is found later, or never."""
_AGAIN_S = 1.0
_ATTEMPTS = 15
"""A former owner may have labelled a pod whose agent knows nothing of it yet."""

log = logging.getLogger(__name__)


class Adoption:
    """Looks for environments of a function that its dispatcher does not know."""

    def __init__(self, caches: Caches, starter: Starter, key: bytes) -> None:
        self._caches = caches
        self._starter = starter
        self._key = key
        self._asked: set[str] = set()
        self._outlasted: set[str] = set()
        self._tasks = BackgroundTasks()

    def adopt_all(self, dispatcher: Dispatcher) -> None:
        """Adopts every environment of the dispatcher's version, those of other revisions and those that end too.

        Until it is known which of them are idle and which are busy, the dispatcher holds what arrives: else it would
        start another environment beside an idle one, or admit more than the former owner's invocations leave room for.
        """
        found = [
            task
            for (namespace, name), pod in list(self._caches.pods.items.items())
            if namespace == dispatcher.target.namespace and (task := self.adopt(dispatcher, name, pod)) is not None
        ]
        if found:
            dispatcher.hold()
            self._tasks.start(self._let_go(dispatcher, found))

    def adopt(self, dispatcher: Dispatcher, name: str, pod: PodView) -> "asyncio.Task[None] | None":
        """Adopts one pod in the background; None when it is none to adopt, or known, or being asked already."""
        if (
            pod.function_uid != dispatcher.target.uid
            or pod.version != dispatcher.target.configuration.version
            or not pod.ip
            or (pod.provisioned and not pod.ready)
            or pod.uid in self._asked
            or dispatcher.released
            or dispatcher.knows(pod.uid)
            or self._starter.starting(pod.uid)
            or self._starter.deletions.pending(pod.uid)
        ):
            return None
        self._asked.add(pod.uid)
        return self._tasks.start(self._adopt(dispatcher, name, pod, _ATTEMPTS))

    async def _let_go(self, dispatcher: Dispatcher, adopting: "list[asyncio.Task[None]]") -> None:
        await asyncio.wait(adopting, timeout=_HOLD_S)
        dispatcher.let_go()

    async def _adopt(self, dispatcher: Dispatcher, name: str, pod: PodView, attempts: int) -> None:
        """Asks once; an agent that cannot say yet is asked again in the background."""
        if dispatcher.released:  # since this was to begin: an environment that is asked refuses its owner's leases
            self._asked.discard(pod.uid)
            return
        try:
            adopted = await self.ask(dispatcher, name, pod)
        except (OSError, TimeoutError) as error:
            log.info("pod %s/%s was not adopted: %s", dispatcher.target.namespace, name, error or type(error).__name__)
            adopted = False
        if adopted or attempts <= 1 or pod.ending:
            self._asked.discard(pod.uid)
        else:
            self._tasks.start(self._again(dispatcher, name, pod, attempts - 1))

    async def _again(self, dispatcher: Dispatcher, name: str, pod: PodView, attempts: int) -> None:
        await asyncio.sleep(_AGAIN_S)
        known = self._caches.pods.items.get((dispatcher.target.namespace, name))
        if known is None or known.uid != pod.uid or dispatcher.released:
            self._asked.discard(pod.uid)
        else:
            await self._adopt(dispatcher, name, known, attempts)

    async def ask(self, dispatcher: Dispatcher, name: str, pod: PodView) -> bool:
        """Whether the environment has said what it is, and was adopted if that is of use.

        Raises `OSError` or `TimeoutError`.
        """
        token = tokens.environment_token(self._key, pod.uid)
        number: int | None = None

        def lost(_: bool) -> None:
            if number is not None:
                dispatcher.connection_lost(number)

        connection = await connect(pod.ip, environment_protocol.CONTROL_PORT, lost, ANSWER_S)
        started = Started(name, pod.uid, token, connection)
        try:
            state = await agent_state(connection, pod.ip, token, term=dispatcher.target.term)
        except BaseException:
            connection.close()
            raise
        under_way = state is not None and (state.awaits_begin or (state.initializing and pod.provisioned))
        if state is None or not state.specialized or under_way:
            connection.close()
            return False  # it says nothing, it is nobody's, or whoever initializes it is not done
        if self._useless(dispatcher, pod, state) or dispatcher.knows(pod.uid) or dispatcher.released:
            connection.close()
            return True
        revision = state.revision or ""
        if state.initializing and revision == dispatcher.target.configuration.revision:
            number = dispatcher.expect(started)
            self._tasks.start(self._follow(dispatcher, number, pod, started, initializing=True))
        elif state.initializing:  # of no use any more; whoever started it may still wait for it
            self._tasks.start(self._outlast(dispatcher, name, pod, started))
        else:
            number = dispatcher.adopt(started, revision, busy=state.busy, provisioned=pod.provisioned)
            if state.busy:
                self._tasks.start(self._follow(dispatcher, number, pod, started, initializing=False))
            if pod.ending or state.draining:
                dispatcher.pod_ending(pod.uid)
        return True

    def _useless(self, dispatcher: Dispatcher, pod: PodView, state: EnvironmentState) -> bool:
        """Whether nothing can come of the environment here; it goes then, or to the function that it says it is of."""
        target = dispatcher.target
        name = target.configuration.function_name or target.name
        other = state.function_uid != target.uid if state.function_uid else state.function != name
        if other or (state.finished and not state.busy):
            found = next((name for name, known in self._caches.pods.items.items() if known.uid == pod.uid), None)
            if found is not None and other and not state.finished:
                self._starter.unclaimed.look(*found, pod, target.uid)
            elif found is not None:
                self._starter.deletions.soon(*found, pod.uid, 0)
            return True
        return (state.draining or pod.ending) and not state.busy

    async def _outlast(self, dispatcher: Dispatcher, name: str, pod: PodView, started: Started) -> None:
        """Waits for the end of an INIT that may hang, and has the environment go then."""
        if pod.uid in self._outlasted:
            started.connection.close()
            return
        self._outlasted.add(pod.uid)
        try:
            while True:
                state = await agent_state(started.connection, pod.ip, started.token, wait_s=_WAIT_S)
                if state is None or not state.initializing:
                    break
                await asyncio.sleep(_PAUSE_S)
        except (OSError, TimeoutError):
            return  # it is gone, or is found later
        finally:
            started.connection.close()
            self._outlasted.discard(pod.uid)
        self.adopt(dispatcher, name, pod)

    async def _follow(
        self, dispatcher: Dispatcher, number: int, pod: PodView, started: Started, *, initializing: bool
    ) -> None:
        """Waits until an environment has finished its INIT, or what it runs for its former owner.

        The agent tells us before it answers the former owner: whoever calls again at once finds the concurrency free.
        """
        state: EnvironmentState | None = None
        while state is None or state.busy or state.initializing:
            try:
                state = await agent_state(started.connection, pod.ip, started.token, wait_s=_WAIT_S)
            except (OSError, TimeoutError):
                started.connection.close()  # which ends the environment here, unless it ended by itself
                return
            if state is None:
                started.connection.close()
                return
            if state.busy or state.initializing:
                await asyncio.sleep(_PAUSE_S)
        if not initializing:
            dispatcher.freed(number)
        elif state.finished or not state.specialized:
            dispatcher.give_up(number)
        else:
            dispatcher.ready(number)
