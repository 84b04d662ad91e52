"""Deleting the pods of environments: asked for once, done for certain."""

import logging

from kubelambda.kube.errors import KubeError, NotFound
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.outage import REFUSALS, through_outage
from kubelambda.kube.resources import PODS
from kubelambda.wire.background_tasks import BackgroundTasks

log = logging.getLogger(__name__)


class PodDeletions:
    """Deletions that are asked for and not seen through yet. An API server that is away only delays them."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._pending: set[str] = set()
        self._tasks = BackgroundTasks()

    def soon(self, namespace: str, pod: str, uid: str, grace_seconds: float) -> None:
        """Deletes a pod in the background; it may take `grace_seconds` to finish what it runs."""
        if uid not in self._pending:
            self._pending.add(uid)
            self._tasks.start(self._delete(namespace, pod, uid, grace_seconds))

    def pending(self, uid: str) -> bool:
        """Whether a pod is to go: nobody may take it for an environment that could serve."""
        return uid in self._pending

    def gone(self, uid: str) -> None:
        """A pod is not there any more."""
        self._pending.discard(uid)

    async def _delete(self, namespace: str, pod: str, uid: str, grace_seconds: float) -> None:
        try:
            await through_outage(
                lambda: self._client.delete(PODS, pod, namespace, grace_seconds=int(grace_seconds)), refusals=REFUSALS
            )
        except NotFound:
            self.gone(uid)
        except KubeError as error:
            log.error("pod %s/%s could not be deleted: %s", namespace, pod, error)
            self.gone(uid)  # whoever finds it again tries again
