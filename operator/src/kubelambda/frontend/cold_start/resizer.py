"""Giving claimed pods the size of their function, in place (DESIGN §4)."""

import asyncio
import logging

from kubelambda.api.settings import EnvironmentSettings
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.kube import claim
from kubelambda.kube.errors import KubeError, NotFound
from kubelambda.kube.kube_client import KubeClient
from kubelambda.resources import environment_pod as rendering

_RESIZE_S = 10.0
"""A kubelet needs less than a second for a resize that it grants."""

log = logging.getLogger(__name__)


class ResizeRefused(Exception):
    """The pod does not get its size. The message says who refused, and why."""


class Resizer:
    """Resizes pods. Sizes are a function's `memorySize` in MB, which its CPU follows."""

    def __init__(self, client: KubeClient, caches: Caches, settings: EnvironmentSettings) -> None:
        self._client = client
        self._caches = caches
        self._settings = settings

    def exceeds_pool(self, memory_size: int) -> bool:
        """Whether a function cannot begin within the limits of an unclaimed pod."""
        return memory_size + self._settings.memory_overhead_mb > self._settings.pool_memory_limit_mb

    def refused(self, namespace: str, pod: str) -> bool:
        """Whether a pod's node does not grant the size that it was given."""
        found = self._caches.pods.items.get((namespace, pod))
        return found is not None and bool(found.resize_refused)

    async def resize(self, namespace: str, pod: str, memory_size: int) -> None:
        """Asks for a function's size. Raises `ResizeRefused` when the API server does; a node answers later."""
        wanted = rendering.configured_resources(memory_size, self._settings)
        try:
            await claim.resize(self._client, namespace, pod, wanted.manifest())
        except NotFound:
            return
        except KubeError as error:
            raise ResizeRefused(str(error)) from error

    async def enlarge(self, namespace: str, pod: str, memory_size: int) -> None:
        """As `resize`, and returns once the limit is in force. Raises `ResizeRefused`."""
        await self.resize(namespace, pod, memory_size)
        needed = memory_size + self._settings.memory_overhead_mb
        try:
            async with asyncio.timeout(_RESIZE_S):
                while True:
                    found = self._caches.pods.items.get((namespace, pod))
                    if found is None or found.ending or found.resize_refused:
                        raise ResizeRefused(found.resize_refused if found and found.resize_refused else "the pod ended")
                    if found.memory_limit_mb >= needed:
                        return
                    await self._caches.changed(pod=(namespace, pod))
        except TimeoutError as error:
            raise ResizeRefused(f"its node did nothing for {_RESIZE_S:.0f} s") from error

    async def limit(self, namespace: str, pod: str, memory_size: int) -> None:
        """Sets a function's limits above the requests of an unclaimed pod: limits cost a node nothing."""
        wanted = rendering.configured_resources(memory_size, self._settings)
        granted = wanted.limits_only(rendering.pool_resources(self._settings)).manifest()
        try:
            await claim.resize(self._client, namespace, pod, granted)
        except NotFound:
            return
        except KubeError as error:
            log.warning("pod %s/%s keeps the limits of its pool: %s", namespace, pod, error)
