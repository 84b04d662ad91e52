"""Watches over pods that mount file systems: what keeps one from it is its caller's answer, in time (§10.2)."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any

from kubelambda.api.settings import Settings
from kubelambda.core.environment.shape import Shape
from kubelambda.core.file_system.access_point_arn import access_point_arn
from kubelambda.core.file_system.mount_failure import MountError, MountFailure, unmounted, unscheduled
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.views import PodView
from kubelambda.frontend.cold_start.mount_report import MountReport
from kubelambda.frontend.cold_start.start import StartFailed, Target
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import CORE_EVENTS

_AGAIN_S = 5.0
"""How long until a pod is looked at again that is late for another reason than its file system."""
_EVENTS_MAX = 100

log = logging.getLogger(__name__)


class Mounting:
    """For all functions of a frontend."""

    def __init__(self, client: KubeClient, caches: Caches, settings: Settings) -> None:
        self._client = client
        self._caches = caches
        self._settings = settings
        self._report = MountReport(client)

    async def over[T](self, target: Target, shape: Shape, pod: str, work: Coroutine[Any, Any, T]) -> T:
        """What `work` on a new pod comes to. Raises `StartFailed` as soon as the pod cannot mount its file system."""
        if not shape.file_systems:
            return await work
        working, watching = asyncio.ensure_future(work), asyncio.ensure_future(self._failure(target, pod))
        try:
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            failure = watching.result()
        finally:
            for each in (working, watching):
                each.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)
        name = shape.file_systems[0].access_point
        self._report.failed(target.namespace, name, failure)
        raise StartFailed(failure.answer(access_point_arn(self._settings.region, target.account, name)))

    def mounted(self, target: Target, shape: Shape) -> None:
        """An environment runs with its file systems."""
        for each in shape.file_systems:
            self._report.mounted(target.namespace, each.access_point)

    async def _failure(self, target: Target, name: str) -> MountFailure:
        """Returns once it is certain that the pod cannot mount."""
        seconds = self._settings.file_systems.mount_timeout_seconds
        due, node = time.monotonic() + seconds, ""
        while True:
            pod = self._caches.pods.items.get((target.namespace, name))
            if pod is not None:
                if pod.unmounted:
                    return MountFailure(MountError.FAILURE, pod.unmounted)
                if pod.node and not node:  # only now can anything be mounted
                    due, node = time.monotonic() + seconds, pod.node
            if time.monotonic() >= due:
                if pod is not None and (found := await self._verdict(target, name, pod)) is not None:
                    return found
                due = time.monotonic() + _AGAIN_S
            try:
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await self._caches.changed(pod=(target.namespace, name))
            except TimeoutError:
                continue

    async def _verdict(self, target: Target, name: str, pod: PodView) -> MountFailure | None:
        if pod.ip:  # it is all mounted by then
            return None
        if not pod.node:
            return unscheduled(pod.unscheduled)
        return unmounted(await self._events(target.namespace, pod.uid, name))

    async def _events(self, namespace: str, uid: str, name: str) -> list[tuple[str, str]]:
        """Reasons and messages, the newest last; none where they cannot be read."""
        selector = f"involvedObject.uid={uid}"
        try:
            found, _ = await self._client.page(CORE_EVENTS, namespace, limit=_EVENTS_MAX, field_selector=selector)
        except KubeError as error:
            log.warning("events of pod %s/%s cannot be read: %s", namespace, name, error)
            return []
        found = sorted(found, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
        return [(event.get("reason", ""), event.get("message", "")) for event in found]
