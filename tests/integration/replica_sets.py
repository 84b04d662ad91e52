"""What Kubernetes makes of the Deployments of a namespace whose API server is real: their pods."""

import asyncio
import contextlib

from tests.integration.functions import listed
from tests.integration.loopback import Cluster

from kubelambda.api import labels
from kubelambda.kube.errors import KubeError, NotFound
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import DEPLOYMENTS, PODS


class ReplicaSets:
    """Keeps the number of pods of every Deployment of environments, and rolls them, as Kubernetes does."""

    def __init__(self, cluster: Cluster, *, kind: str = labels.PROVISIONED) -> None:
        self._cluster = cluster
        self._kind = kind
        """Label of the pods that it looks after: those of provisioned environments, or of pools."""
        self.shrunk: list[Object] = []
        """Pods that were one too many."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(KubeError):
                await self._look()
            await asyncio.sleep(0.1)

    async def _look(self) -> None:
        client, namespace = self._cluster.client, self._cluster.namespace
        found = await listed(client, DEPLOYMENTS, namespace, label_selector=self._kind)
        pods = [pod for pod in await self._cluster.pods() if self._kind in pod["metadata"]["labels"]]
        for deployment in found:
            selector = deployment["spec"]["selector"]["matchLabels"].items()
            mine = [pod for pod in pods if selector <= pod["metadata"]["labels"].items()]
            pods = [pod for pod in pods if pod not in mine]
            await self._keep(deployment, mine)
        for pod in pods:
            await self._delete(pod)

    async def _keep(self, deployment: Object, pods: list[Object]) -> None:
        template, wanted = deployment["spec"]["template"], deployment["spec"]["replicas"]
        revision = template["metadata"]["labels"].get(labels.REVISION)
        new = [pod for pod in pods if pod["metadata"]["labels"].get(labels.REVISION) == revision]
        old = [pod for pod in pods if pod not in new]
        room = wanted + bool(old) - len(pods)
        for _ in range(min(room, wanted - len(new))):
            metadata = {"generateName": f"{deployment['metadata']['name']}-", **template["metadata"]}
            pod = {"metadata": metadata, "spec": template["spec"] | {"nodeName": "node-1"}}
            await self._cluster.client.create(PODS, pod, self._cluster.namespace)
        spare = sum(is_ready(pod) for pod in pods) - wanted
        for pod in old[: max(0, spare)]:
            await self._delete(pod)
        if not old:
            first = sorted(new, key=lambda pod: (is_ready(pod), cost(pod)))
            for pod in first[: max(0, len(new) - wanted)]:
                self.shrunk.append(pod)
                await self._delete(pod)

    async def _delete(self, pod: Object) -> None:
        with contextlib.suppress(NotFound):
            await self._cluster.client.delete(PODS, pod["metadata"]["name"], self._cluster.namespace)


def is_ready(pod: Object) -> bool:
    """Whether a pod is Ready."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def cost(pod: Object) -> int:
    """What it costs to end a pod before others."""
    return int(pod["metadata"].get("annotations", {}).get(labels.DELETION_COST, "0"))
