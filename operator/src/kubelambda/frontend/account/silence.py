"""Environments that ended without a word: their node is gone, and no connection says so."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from kubelambda.api import environment_protocol
from kubelambda.core.environment import tokens
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cold_start.agent_state import ANSWER_S, agent_state
from kubelambda.frontend.dispatch.dispatcher import Dispatcher
from kubelambda.frontend.dispatch.environment_handle import EnvironmentHandle
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.client import connect

_IDLE_LOOKS = 2
_BUSY_LOOKS = 4
"""What runs something is given up later: its caller gets an error then."""
_PAUSE_S = 1.0

log = logging.getLogger(__name__)


class Silence:
    """Asks environments that may be gone how they are, on a connection of its own; those that say nothing are.

    Those that Kubernetes or a first look doubts are given nothing meanwhile: a caller would wait for its function's
    whole timeout. One that another's end made suspect is used until then: functions crash far oftener than nodes.
    """

    def __init__(self, caches: Caches, key: bytes, dispatchers: Callable[[], Iterable[Dispatcher]]) -> None:
        self._caches = caches
        self._key = key
        self._dispatchers = dispatchers
        self._asking: set[tuple[int, int]] = set()
        """Dispatchers by their `id`, and numbers of environments: a pod may have had another owner's number before."""
        self._tasks = BackgroundTasks()

    def suspect_pod(self, uid: str) -> None:
        """Its pod is not ready any more."""
        for dispatcher in self._dispatchers():
            for found in list(dispatcher.environments.values()):
                if found.uid == uid:
                    dispatcher.doubt(found.id)
                    self._ask(dispatcher, found)

    def suspect_node_of(self, namespace: str, pod: str) -> None:
        """An environment ended without a word: are the others on its node still there?"""
        view = self._caches.pods.items.get((namespace, pod))
        if view is None or not view.node:
            return
        there = {found.uid for found in self._caches.pods.items.values() if found.node == view.node}
        for dispatcher in self._dispatchers():
            for found in list(dispatcher.environments.values()):
                if found.uid in there and found.pod != pod:
                    self._ask(dispatcher, found)

    def _ask(self, dispatcher: Dispatcher, environment: EnvironmentHandle) -> None:
        key = (id(dispatcher), environment.id)
        if key not in self._asking:
            self._asking.add(key)
            self._tasks.start(self._look(dispatcher, environment))

    async def _look(self, dispatcher: Dispatcher, environment: EnvironmentHandle) -> None:
        try:
            looks = 0
            while dispatcher.environments.get(environment.id) is environment:
                if await self._answers(dispatcher.target.namespace, environment):
                    return
                looks += 1
                dispatcher.doubt(environment.id)
                if looks >= (_BUSY_LOOKS if _busy(dispatcher, environment) else _IDLE_LOOKS):
                    log.warning("pod %s/%s does not answer any more", dispatcher.target.namespace, environment.pod)
                    dispatcher.silent(environment.id)
                    return
                await asyncio.sleep(_PAUSE_S)
        finally:
            self._asking.discard((id(dispatcher), environment.id))
            dispatcher.trusted(environment.id)  # whatever came of the look: nobody else takes the doubt away

    async def _answers(self, namespace: str, environment: EnvironmentHandle) -> bool:
        view = self._caches.pods.items.get((namespace, environment.pod))
        if view is None or view.uid != environment.uid:
            return False
        token = tokens.environment_token(self._key, environment.uid)
        try:
            connection = await connect(view.ip, environment_protocol.CONTROL_PORT, lambda _: None, ANSWER_S)
        except (OSError, TimeoutError):
            return False
        try:
            return await agent_state(connection, view.ip, token) is not None
        except (OSError, TimeoutError):
            return False
        finally:
            connection.close()


def _busy(dispatcher: Dispatcher, environment: EnvironmentHandle) -> bool:
    """Whether it runs something: of ours, of who holds a lease of it, or of a former owner."""
    placed = dispatcher.placement.environments.get(environment.id)
    return environment.invocation is not None or (placed is not None and placed.unit is not None)
