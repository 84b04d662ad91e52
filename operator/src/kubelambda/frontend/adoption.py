"""Taking over environments that another frontend started, or that outlived this one (DESIGN §5, Ownership)."""

import asyncio
import json
import logging

from kubelambda.api import labels
from kubelambda.core import tokens
from kubelambda.frontend.caches import Caches
from kubelambda.frontend.runner import Runner
from kubelambda.frontend.starting import Started
from kubelambda.frontend.views import PodView
from kubelambda.wire.client import ClientConnection, connect, request_head

_POLL_S = 0.25

log = logging.getLogger(__name__)


class Adoption:
    """Looks for environments of a function that its runner does not know."""

    def __init__(self, caches: Caches, key: bytes) -> None:
        self._caches = caches
        self._key = key
        self._tasks: set[asyncio.Task[None]] = set()

    def adopt_all(self, runner: Runner) -> None:
        """Adopts every environment of the runner's present revision, in the background."""
        target = runner.target
        for (namespace, name), pod in self._caches.pods.items.items():
            ours = namespace == target.namespace and pod.function_uid == target.uid
            if ours and pod.revision == target.configuration.revision and pod.ip and not pod.ending:
                task = asyncio.get_running_loop().create_task(self._adopt(runner, name, pod))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _adopt(self, runner: Runner, name: str, pod: PodView) -> None:
        token = tokens.environment_token(self._key, pod.uid)
        number = 0

        def lost(in_flight: bool) -> None:
            found = runner.environments.get(number)
            if found is not None:
                found.lost(in_flight)

        try:
            connection = await connect(pod.ip, labels.CONTROL_PORT, lost, 2.0)
            busy = await self._busy(connection, pod.ip, token)
            if busy is None or runner.knows(pod.uid) or runner.released:
                connection.close()
                return
            number = runner.adopt(Started(name, pod.uid, token, connection), busy=busy)
            while busy:
                await asyncio.sleep(_POLL_S)
                busy = await self._busy(connection, pod.ip, token)
                if busy is False:
                    runner.freed(number)
        except (OSError, TimeoutError) as error:
            log.info("pod %s/%s was not adopted: %s", runner.target.namespace, name, error)

    async def _busy(self, connection: ClientConnection, ip: str, token: str) -> bool | None:
        """Whether the environment runs something; None when it cannot be used."""
        head = request_head("GET", "/state", ip, {"Authorization": f"Bearer {token}"}, 0)
        async with asyncio.timeout(2.0):
            status, _, body = await connection.call(head)
        if status != 200:
            return None
        state = json.loads(body)
        if not state["specialized"] or state["draining"]:
            return None
        return bool(state["busy"])
