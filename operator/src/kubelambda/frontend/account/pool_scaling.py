"""Sizes the pools of the namespaces that this frontend owns: it is the one that sees every claim (DESIGN §4)."""

import asyncio
import logging
import time
from collections.abc import Callable

from kubelambda.core.pool.pool_size import PoolDemand, PoolRange
from kubelambda.frontend.account.pool_patterns import PoolPatterns
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.views import PoolView
from kubelambda.kube.errors import KubeError, NotFound
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.reflector import Name
from kubelambda.kube.resources import DEPLOYMENTS
from kubelambda.resources.pool_deployment import pool_name, pool_range

log = logging.getLogger(__name__)


class PoolScaling:
    """The demand for every pool, by its namespace and id, and the scale that follows from it."""

    def __init__(
        self, client: KubeClient, caches: Caches, owns: Callable[[str], bool], *, forecast: bool = False
    ) -> None:
        self._client = client
        self._caches = caches
        self._owns = owns
        self._demand: dict[Name, PoolDemand] = {}
        self._patterns = PoolPatterns(client) if forecast else None

    def claimed(self, namespace: str, pool_id: str) -> None:
        """A function wanted an environment out of a pool, whether or not there was one."""
        self._of(namespace, pool_id).claimed(time.monotonic())

    async def resize(self) -> None:
        """Scales what has another size than it should, all namespaces side by side: none waits for another."""
        async with asyncio.TaskGroup() as tasks:
            for (namespace, deployment), pool in list(self._caches.pools.items.items()):
                if pool.id and self._owns(namespace) and deployment == pool_name(pool.id):
                    wanted = self._wanted(namespace, pool)
                    if wanted is not None and wanted != pool.replicas:
                        tasks.create_task(self._scale(namespace, pool.id, wanted))
        for name in [name for name in self._demand if not self._exists(*name)]:
            del self._demand[name]
            if self._patterns is not None:
                self._patterns.forget(name)

    def _wanted(self, namespace: str, pool: PoolView) -> int | None:
        size = self._range(namespace, pool)
        if size is None:
            return None
        demand, now = self._of(namespace, pool.id), time.monotonic()
        expected = 0
        if self._patterns is not None:
            expected = self._patterns.expected(namespace, pool, demand.latest(now))
        return demand.wanted(size, now, expected=expected)

    async def _scale(self, namespace: str, pool_id: str, wanted: int) -> None:
        try:
            scale = {"spec": {"replicas": wanted}}
            await self._client.patch(DEPLOYMENTS, pool_name(pool_id), scale, namespace, subresource="scale")
        except NotFound:
            return
        except KubeError as error:
            log.info("pool %s of %s does not get its size of %d: %s", pool_id, namespace, wanted, error)

    def _range(self, namespace: str, pool: PoolView) -> PoolRange | None:
        spec = self._caches.runtimes.items.get(("", pool.runtime))
        found = self._caches.namespaces.items.get(("", namespace))
        return None if spec is None or found is None else pool_range(pool.id, spec, found.pool_sizes)

    def _of(self, namespace: str, pool_id: str) -> PoolDemand:
        demand = self._demand.get((namespace, pool_id))
        if demand is None:
            demand = self._demand[namespace, pool_id] = PoolDemand()
            pool = self._caches.pools.items.get((namespace, pool_name(pool_id)))
            size = None if pool is None else self._range(namespace, pool)
            if pool is not None and size is not None:
                # The claims that an earlier owner of the namespace saw are not known here; what it did about them is.
                demand.claimed(time.monotonic(), pool.replicas - size.minimum)
        return demand

    def _exists(self, namespace: str, pool_id: str) -> bool:
        return self._owns(namespace) and (namespace, pool_name(pool_id)) in self._caches.pools.items
