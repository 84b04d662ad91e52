"""Taking over environments that another frontend started, or that outlived this one (DESIGN §5, Ownership)."""

import asyncio
import logging
from collections.abc import Coroutine

from kubelambda.api import environment_protocol
from kubelambda.core.environment import tokens
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.views import PodView
from kubelambda.frontend.cold_start.starter import Started
from kubelambda.frontend.dispatch.agent_state import ANSWER_S, agent_state
from kubelambda.frontend.dispatch.dispatcher import Dispatcher
from kubelambda.wire.client import ClientConnection, connect

_WAIT_S = 20
_PAUSE_S = 0.25
"""Before an environment is asked again: an agent of an earlier release does not wait."""
_HOLD_S = 1.0
"""Requests wait this long for environments to be adopted: one that does not answer by then is found later, or never."""

log = logging.getLogger(__name__)


class Adoption:
    """Looks for environments of a function that its dispatcher does not know."""

    def __init__(self, caches: Caches, key: bytes) -> None:
        self._caches = caches
        self._key = key
        self._tasks: set[asyncio.Task[None]] = set()

    def adopt_all(self, dispatcher: Dispatcher) -> None:
        """Adopts every environment of the dispatcher's present revision.

        Until it is known which of them are idle and which are busy, the dispatcher holds what arrives: else it would
        start another environment beside an idle one, or admit more than the former owner's invocations leave room for.
        """
        target = dispatcher.target
        found = [
            self._spawn(self._adopt(dispatcher, name, pod))
            for (namespace, name), pod in self._caches.pods.items.items()
            if namespace == target.namespace
            and pod.function_uid == target.uid
            and pod.revision == target.configuration.revision
            and pod.ip
            and not pod.ending
        ]
        if found:
            dispatcher.hold()
            self._spawn(self._let_go(dispatcher, found))

    async def _let_go(self, dispatcher: Dispatcher, adopting: list[asyncio.Task[None]]) -> None:
        await asyncio.wait(adopting, timeout=_HOLD_S)
        dispatcher.let_go()

    async def _adopt(self, dispatcher: Dispatcher, name: str, pod: PodView) -> None:
        token = tokens.environment_token(self._key, pod.uid)
        number = 0

        def lost(in_flight: bool) -> None:
            found = dispatcher.environments.get(number)
            if found is not None:
                found.lost(in_flight)

        try:
            connection = await connect(pod.ip, environment_protocol.CONTROL_PORT, lost, ANSWER_S)
            busy = await self._busy(connection, pod.ip, token)
        except (OSError, TimeoutError) as error:
            log.info("pod %s/%s was not adopted: %s", dispatcher.target.namespace, name, error)
            return
        if busy is None or dispatcher.knows(pod.uid) or dispatcher.released:
            connection.close()
            return
        number = dispatcher.adopt(Started(name, pod.uid, token, connection), busy=busy)
        if busy:
            self._spawn(self._follow(dispatcher, number, connection, pod.ip, token))

    async def _follow(
        self, dispatcher: Dispatcher, number: int, connection: ClientConnection, ip: str, token: str
    ) -> None:
        """Waits until an environment has finished what it runs for its former owner.

        The agent tells us before it answers the former owner: whoever calls again at once finds the concurrency free.
        """
        busy: bool | None = True
        while busy:
            try:
                busy = await self._busy(connection, ip, token, wait_s=_WAIT_S)
            except (OSError, TimeoutError):
                connection.close()  # which ends the environment here, unless it ended by itself
                return
            if busy:
                await asyncio.sleep(_PAUSE_S)
        if busy is False:
            dispatcher.freed(number)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _busy(self, connection: ClientConnection, ip: str, token: str, wait_s: int = 0) -> bool | None:
        """Whether the environment runs something, in `wait_s` or as soon as not; None when it cannot be used."""
        state = await agent_state(connection, ip, token, wait_s=wait_s)
        if state is None or not state.specialized or state.draining or state.finished:
            return None
        return state.busy
