"""What the pools of owned namespaces need by the hour, kept at their Deployments for whoever owns them next."""

import logging
import time

from kubelambda.api import labels
from kubelambda.core.pool.pool_forecast import DemandPattern, parse_pattern
from kubelambda.frontend.cluster.views import PoolView
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.reflector import Name
from kubelambda.kube.resources import DEPLOYMENTS
from kubelambda.resources.pool_deployment import pool_name
from kubelambda.wire.background_tasks import BackgroundTasks

WRITE_S = 900.0
"""Between two writes: what an owner that dies has seen since is lost."""

log = logging.getLogger(__name__)


class PoolPatterns:
    """The pattern of every pool, by its namespace and id."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._patterns: dict[Name, DemandPattern] = {}
        self._written: dict[Name, float] = {}
        self._tasks = BackgroundTasks()

    def expected(self, namespace: str, pool: PoolView, claims: int) -> int:
        """Claims that are likely in a moment, and those of the period that runs are remembered."""
        name, now = (namespace, pool.id), time.time()
        pattern = self._patterns.get(name)
        if pattern is None:
            pattern = self._patterns[name] = parse_pattern(pool.demand)
            self._written[name] = now
        pattern.observe(now, claims)
        if now - self._written[name] >= WRITE_S:
            self._written[name] = now
            self._tasks.start(self._write(namespace, pool.id, pattern.text()))
        return pattern.expected(now)

    def forget(self, name: Name) -> None:
        """A pool is gone, or another frontend's."""
        self._patterns.pop(name, None)
        self._written.pop(name, None)

    async def _write(self, namespace: str, pool_id: str, text: str) -> None:
        patch = {"metadata": {"annotations": {labels.POOL_DEMAND: text}}}
        try:
            await self._client.patch(DEPLOYMENTS, pool_name(pool_id), patch, namespace)
        except KubeError as error:
            log.info("what pool %s of %s needed is not written down: %s", pool_id, namespace, error)
