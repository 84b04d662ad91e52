"""Pool pods that unpack layers ahead of the functions that have them (`docs/decisions/0033`)."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kubelambda.api import environment_protocol
from kubelambda.api.environment_protocol import ArchiveReference
from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.api.kinds.function_mounts import DeployedLayer
from kubelambda.core.environment import tokens
from kubelambda.core.pool import layers_ahead
from kubelambda.core.pool.demand_ahead import DemandAhead, Pool
from kubelambda.core.pool.layers_ahead import Digests
from kubelambda.frontend.cluster.views import PodView
from kubelambda.frontend.cold_start.archive_cache import Archives
from kubelambda.kube.fair_slots import FairSlots
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.client import connect, request_head

_UNPACKING_S = 130.0
_RETRY_S = 30.0
"""For so long a pod that could not hold something is told nothing more."""
_AT_ONCE = 8
_AT_ONCE_PER_NAMESPACE = 4

log = logging.getLogger(__name__)

type Idle = Callable[[str, str], Iterable[tuple[str, PodView]]]
"""Names and views of the pods of a pool that can be taken."""


@dataclass(slots=True)
class _Hold:
    """What a pod was told to hold, and whether it does."""

    digests: Digests
    whole: bool = False
    failed: float | None = None


class HeldPods:
    """What the pods of all pools hold. It is only known here: an agent that holds something else says nothing of it."""

    def __init__(
        self, archives: Archives, key: bytes, idle: Idle, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._archives = archives
        self._key = key
        self._idle = idle
        self._demand: DemandAhead[Digests, list[DeployedLayer]] = DemandAhead()
        self._held: dict[str, _Hold] = {}
        self._slots: FairSlots[str] = FairSlots(_AT_ONCE_PER_NAMESPACE, _AT_ONCE)
        self._tasks = BackgroundTasks()

    def claimed(self, namespace: str, pool_id: str, configuration: DeployedConfiguration) -> None:
        """A function wanted an environment out of a pool, whether or not there was one."""
        digests = layers_ahead.worth_holding(configuration.layers)
        if digests:
            self._demand.claimed((namespace, pool_id), digests, configuration.layers, self._clock())

    def ranking(self, configuration: DeployedConfiguration) -> Callable[[str], int]:
        """How well pods suit a function, by their uid: 0 is the best, and higher is worse."""
        wanted = layers_ahead.worth_holding(configuration.layers)

        def rank(uid: str) -> int:
            found = self._held.get(uid)
            if found is None or found.failed is not None:
                return layers_ahead.rank((), wanted, whole=True)
            return layers_ahead.rank(found.digests, wanted, whole=found.whole)

        return rank

    def forget(self, uid: str) -> None:
        """A pod is gone, or in no pool any more."""
        self._held.pop(uid, None)

    def look(self) -> None:
        """Tells idle pods what to hold, in the background: as many as were claimed while a pool is refilled."""
        now = self._clock()
        for pool, wanted in self._demand.wanted(now):
            self._tell(pool, wanted, now)

    def _tell(self, pool: Pool, wanted: Mapping[Digests, int], now: float) -> None:
        pods = {pod.uid: pod for _, pod in self._idle(*pool) if self._willing(pod.uid, now)}
        idle = {uid: self._held[uid].digests if uid in self._held else () for uid in pods}
        for uid, digests in layers_ahead.to_hold(idle, wanted).items():
            hold = self._held[uid] = _Hold(digests)
            self._tasks.start(self._hold(pool[0], pods[uid], hold, self._demand.what(digests)))

    def _willing(self, uid: str, now: float) -> bool:
        found = self._held.get(uid)
        if found is not None and found.failed is not None:
            if now - found.failed < _RETRY_S:
                return False
            del self._held[uid]
        return True

    async def _hold(self, namespace: str, pod: PodView, hold: _Hold, layers: list[DeployedLayer]) -> None:
        async with self._slots.hold(namespace):
            if self._held.get(pod.uid) is not hold:
                return  # it was taken meanwhile
            why = await self._said(namespace, pod, layers)
        if why:
            hold.failed = self._clock()
            log.info("pod %s of %s does not hold layers: %s", pod.uid, namespace, why)
        else:
            hold.whole = True

    async def _said(self, namespace: str, pod: PodView, layers: list[DeployedLayer]) -> str:
        """Why a pod does not hold the layers that it was told to; empty once it does."""
        addressed = [ArchiveReference(each.sha256, each.size, self._archives.address(each)) for each in layers]
        body = environment_protocol.encode_layers(addressed)
        headers = {"Authorization": f"Bearer {tokens.pool_token(self._key, namespace)}"}
        head = request_head("POST", environment_protocol.HOLD, pod.ip, headers, len(body))
        try:
            connection = await connect(pod.ip, environment_protocol.CONTROL_PORT, lambda _: None)
            try:
                async with asyncio.timeout(_UNPACKING_S):
                    status, _, answer = await connection.call(head, body)
            finally:
                connection.close()
        except (OSError, TimeoutError) as error:
            return str(error) or type(error).__name__
        return "" if status == 200 else f"{status} {answer[:300].decode(errors='replace')}"
