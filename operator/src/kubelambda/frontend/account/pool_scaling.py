"""Sizes the pools of the namespaces that this frontend owns: it is the one that sees every claim (DESIGN §4)."""

import asyncio
import logging
import time
from collections.abc import Callable

from kubelambda.core.pool.pool_size import PoolDemand, PoolRange
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.kube.errors import KubeError, NotFound
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.reflector import Name
from kubelambda.kube.resources import DEPLOYMENTS
from kubelambda.resources.pool_deployment import pool_name, pool_range

log = logging.getLogger(__name__)


class PoolScaling:
    """The demand for every pool, and the scale that follows from it."""

    def __init__(self, client: KubeClient, caches: Caches, owns: Callable[[str], bool]) -> None:
        self._client = client
        self._caches = caches
        self._owns = owns
        self._demand: dict[Name, PoolDemand] = {}

    def claimed(self, namespace: str, runtime: str) -> None:
        """A function wanted an environment out of a pool, whether or not there was one."""
        self._of(namespace, runtime).claimed(time.monotonic())

    async def resize(self) -> None:
        """Scales what has another size than it should, all namespaces side by side: none waits for another."""
        async with asyncio.TaskGroup() as tasks:
            for (namespace, deployment), pool in list(self._caches.pools.items.items()):
                if pool.runtime and self._owns(namespace) and deployment == pool_name(pool.runtime):
                    wanted = self._wanted(namespace, pool.runtime)
                    if wanted is not None and wanted != pool.replicas:
                        tasks.create_task(self._scale(namespace, pool.runtime, wanted))
        for name in [name for name in self._demand if not self._exists(*name)]:
            del self._demand[name]

    def _wanted(self, namespace: str, runtime: str) -> int | None:
        size = self._range(namespace, runtime)
        return None if size is None else self._of(namespace, runtime).wanted(size, time.monotonic())

    async def _scale(self, namespace: str, runtime: str, wanted: int) -> None:
        try:
            scale = {"spec": {"replicas": wanted}}
            await self._client.patch(DEPLOYMENTS, pool_name(runtime), scale, namespace, subresource="scale")
        except NotFound:
            return
        except KubeError as error:
            log.info("pool %s of %s does not get its size of %d: %s", runtime, namespace, wanted, error)

    def _range(self, namespace: str, runtime: str) -> PoolRange | None:
        spec = self._caches.runtimes.items.get(("", runtime))
        found = self._caches.namespaces.items.get(("", namespace))
        return None if spec is None or found is None else pool_range(runtime, spec, found.pool_sizes)

    def _of(self, namespace: str, runtime: str) -> PoolDemand:
        demand = self._demand.get((namespace, runtime))
        if demand is None:
            demand = self._demand[namespace, runtime] = PoolDemand()
            pool = self._caches.pools.items.get((namespace, pool_name(runtime)))
            size = self._range(namespace, runtime)
            if pool is not None and size is not None:
                # The claims that an earlier owner of the namespace saw are not known here; what it did about them is.
                demand.claimed(time.monotonic(), pool.replicas - size.minimum)
        return demand

    def _exists(self, namespace: str, runtime: str) -> bool:
        return self._owns(namespace) and (namespace, pool_name(runtime)) in self._caches.pools.items
