"""Which pod of a Deployment ends first when there are too many: one that runs nothing.

A ReplicaSet knows nothing of invocations. It ends the pods of the lowest deletion cost first, which is an annotation.
"""

import logging

from kubelambda.api import labels
from kubelambda.kube.errors import KubeError, NotFound
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.outage import REFUSALS, through_outage
from kubelambda.kube.resources import PODS
from kubelambda.wire.background_tasks import BackgroundTasks

log = logging.getLogger(__name__)


class DeletionOrder:
    """Annotates pods in the background. What was said last of a pod is what is written."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._said: dict[tuple[str, str], bool] = {}
        self._tasks = BackgroundTasks()

    def first_to_end(self, namespace: str, pod: str, first: bool) -> None:
        """Whether a pod is to end before the others of its Deployment."""
        under_way = (namespace, pod) in self._said
        self._said[namespace, pod] = first
        if not under_way:
            self._tasks.start(self._write(namespace, pod))

    async def _write(self, namespace: str, pod: str) -> None:
        written: bool | None = None
        try:
            while written != (first := self._said[namespace, pod]):
                cost = {labels.DELETION_COST: labels.DELETION_COST_FIRST if first else None}
                patch = {"metadata": {"annotations": cost}}
                await through_outage(
                    lambda patch=patch: self._client.patch(PODS, pod, patch, namespace),  # type: ignore[misc]
                    refusals=REFUSALS,
                )
                written = first
        except NotFound:
            pass
        except KubeError as error:
            log.warning("pod %s/%s gets no deletion cost: %s", namespace, pod, error)
        finally:
            del self._said[namespace, pod]
