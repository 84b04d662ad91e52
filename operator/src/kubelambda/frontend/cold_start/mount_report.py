"""Tells at an AccessPoint whether environments could mount it: condition `Mounted`, which no one else writes."""

import logging
import time
from datetime import UTC, datetime

from kubelambda.api.conditions import Fact, conditions_of
from kubelambda.api.reasons import Reason
from kubelambda.core.file_system.mount_failure import MOUNTED, MountFailure
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import ACCESS_POINTS
from kubelambda.wire.background_tasks import BackgroundTasks

MANAGER = "kubelambda-frontend"
_AGAIN_S = 600.0
"""The same is told again after this long: another frontend may have told something else."""

log = logging.getLogger(__name__)


class MountReport:
    """What this frontend has seen last, written down when it is another than before."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._told: dict[tuple[str, str], tuple[Fact, float]] = {}
        self._tasks = BackgroundTasks()

    def mounted(self, namespace: str, name: str) -> None:
        """An environment mounts it."""
        self._tell(namespace, name, (MOUNTED, "True", Reason.MOUNTED, "environments mount it"))

    def failed(self, namespace: str, name: str, failure: MountFailure) -> None:
        """An environment could not."""
        text = failure.detail or "its node did not come to an end with the mount"
        self._tell(namespace, name, (MOUNTED, "False", Reason(failure.error.value), text))

    def _tell(self, namespace: str, name: str, fact: Fact) -> None:
        now = time.monotonic()
        told, when = self._told.get((namespace, name), (None, 0.0))
        if told is None or told[:3] != fact[:3] or now - when > _AGAIN_S:
            self._told[namespace, name] = fact, now
            self._tasks.start(self._write(namespace, name, fact))

    async def _write(self, namespace: str, name: str, fact: Fact) -> None:
        (condition,) = conditions_of([fact], datetime.now(UTC))
        found = condition.model_dump(mode="json", by_alias=True, exclude_none=True)
        manifest = {"metadata": {"name": name, "namespace": namespace}, "status": {"conditions": [found]}}
        try:
            await self._client.apply(ACCESS_POINTS, manifest, manager=MANAGER, subresource="status")
        except KubeError as error:
            log.warning("access point %s/%s: what became of a mount cannot be told: %s", namespace, name, error)
            self._told.pop((namespace, name), None)
