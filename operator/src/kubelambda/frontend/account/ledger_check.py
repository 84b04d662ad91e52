"""Compares the ledger with what the agents say they run, and puts right what differs (DESIGN §5, rule 5)."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence

from kubelambda.api import environment_protocol
from kubelambda.core.environment import tokens
from kubelambda.core.placement.ledger_drift import Look, drifted, ledger_drift
from kubelambda.core.placement.placement import VersionPlacement
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cold_start.agent_state import ANSWER_S, agent_state
from kubelambda.frontend.dispatch.dispatcher import Dispatcher
from kubelambda.frontend.dispatch.metrics import Metrics
from kubelambda.wire.client import connect

INTERVAL_S = 20.0
_SECOND_LOOK_S = 1.5
_ASKED_AT_ONCE = 16

type Place = tuple[Dispatcher, int]
"""An environment: the dispatcher that has it, and its number there."""

log = logging.getLogger(__name__)


class LedgerCheck:
    """The check of a frontend's ledger. What it finds is a bug, and put right all the same."""

    def __init__(self, caches: Caches, key: bytes, metrics: Metrics) -> None:
        self._caches = caches
        self._key = key
        self._metrics = metrics

    async def run(self, dispatchers: Sequence[Dispatcher]) -> None:
        """Looks at every environment, and once more at those that disagree."""
        first = await self._look(
            [(dispatcher, number) for dispatcher in dispatchers for number in dispatcher.running()]
        )
        suspects = [place for place, look in first.items() if look.disagrees]
        found: list[Place] = []
        if suspects:
            await asyncio.sleep(_SECOND_LOOK_S)
            second = await self._look(suspects)
            found = drifted(first, second)
            for place in found:
                self._correct(place, second[place])
        self._metrics.ledger_drift.set(len(found) + self._units(dispatchers))
        self._metrics.reconciliations.inc()

    def _units(self, dispatchers: Sequence[Dispatcher]) -> int:
        accounts: defaultdict[int, list[VersionPlacement]] = defaultdict(list)
        for dispatcher in dispatchers:
            accounts[id(dispatcher.placement.share.account)].append(dispatcher.placement)
        units = sum(ledger_drift(versions[0].share.account, versions) for versions in accounts.values())
        if units:
            log.error("the ledger is off by %d units of concurrency", units)
        return units

    def _correct(self, place: Place, look: Look) -> None:
        dispatcher, number = place
        name = f"{dispatcher.target.namespace}/{dispatcher.target.name}"
        log.error("function %s: the ledger has %s where the agent runs %s", name, look.after, look.agent)
        dispatcher.correct(number)

    async def _look(self, places: Sequence[Place]) -> dict[Place, Look]:
        free = asyncio.Semaphore(_ASKED_AT_ONCE)

        async def one(place: Place) -> tuple[Place, Look] | None:
            dispatcher, number = place
            async with free:
                before = dispatcher.running()
                environment = dispatcher.environments.get(number)
                if environment is None or number not in before:
                    return None
                try:
                    agent = await self._ask(dispatcher.target.namespace, environment.pod, environment.uid)
                except (OSError, TimeoutError, ValueError, KeyError):
                    return None  # the environment's own connection says when it is gone
                after = dispatcher.running()
                return (place, Look(before[number], agent, after[number])) if number in after else None

        return dict(look for look in await asyncio.gather(*map(one, places)) if look is not None)

    async def _ask(self, namespace: str, pod: str, uid: str) -> str | None:
        """The id of the request that an agent runs. Raises when it does not say."""
        ip = self._caches.pods.items[namespace, pod].ip
        token = tokens.environment_token(self._key, uid)
        connection = await connect(ip, environment_protocol.CONTROL_PORT, lambda _: None, ANSWER_S)
        try:
            state = await agent_state(connection, ip, token)
            if state is None:
                raise ValueError("the agent does not say what it runs")
            return state.request_id
        finally:
            connection.close()
