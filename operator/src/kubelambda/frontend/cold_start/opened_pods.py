"""Closed pool pods that are opened ahead of the functions whose network they are for (`docs/decisions/0043`)."""

import logging
import time
from collections.abc import Callable, Mapping, Set

from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.core.pool import networks_ahead
from kubelambda.core.pool.demand_ahead import DemandAhead, Pool
from kubelambda.core.pool.networks_ahead import CLOSED
from kubelambda.frontend.cluster.views import PodView
from kubelambda.frontend.cold_start.held_pods import Idle
from kubelambda.frontend.cold_start.pod_deletion import PodDeletions
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import PODS
from kubelambda.resources import environment_pod as rendering
from kubelambda.wire.background_tasks import BackgroundTasks

_REPLACING_S = 30.0
"""Until pods that go have been replaced, no more of their pool go."""

log = logging.getLogger(__name__)


class OpenedPods:
    """Opens as many idle pods for a set of subnets and groups as functions of that set take while a pool is refilled.

    Their labels say what they are open for, and never change: whoever claims one for another set is refused.
    """

    def __init__(
        self,
        client: KubeClient,
        idle: Idle,
        deletions: PodDeletions,
        sets: Callable[[str], Set[str]],
        *,
        opening_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sets`: those of a namespace's functions. `opening_s`: how long a pod has to be open before it is used."""
        self._client = client
        self._idle = idle
        self._deletions = deletions
        self._sets = sets
        self._opening_s = opening_s
        self._clock = clock
        self._demand: DemandAhead[str, dict[str, str]] = DemandAhead()
        self._opening: dict[str, str] = {}
        """What pods are about to be open for: Kubernetes may have acknowledged that, and their views do not say so."""
        self._seen: dict[str, float] = {}
        """Since when pods are known to be open."""
        self._replaced: dict[Pool, float] = {}
        self._tasks = BackgroundTasks()

    def claimed(self, namespace: str, pool_id: str, configuration: DeployedConfiguration) -> None:
        """A function wanted an environment out of a pool, whether or not there was one."""
        if (network := configuration.network) is not None:
            labels = rendering.network_labels(configuration)
            self._demand.claimed((namespace, pool_id), network.set, labels, self._clock())

    def ranking(self, configuration: DeployedConfiguration) -> Callable[[PodView], int | None]:
        """How well pods suit a function: 0 is the best, higher is worse, and None is not at all."""
        wanted = configuration.network.set if configuration.network is not None else CLOSED

        def rank(pod: PodView) -> int | None:
            open_for = pod.network_set or self._opening.get(pod.uid, CLOSED)
            return networks_ahead.rank(open_for, wanted, known=open_for == pod.network_set)

        return rank

    def open_for(self, pod: PodView, configuration: DeployedConfiguration) -> bool:
        """Whether a pod has what the groups of a function allow already, and nothing else."""
        network = configuration.network
        if network is None or pod.network_set != network.set:
            return False
        now = self._clock()
        return now - self._seen.setdefault(pod.uid, now) >= self._opening_s

    def forget(self, uid: str) -> None:
        """A pod is gone, or in no pool any more."""
        self._opening.pop(uid, None)
        self._seen.pop(uid, None)

    def look(self) -> None:
        """Opens idle pods, in the background."""
        now = self._clock()
        for pool, wanted in self._demand.wanted(now):
            self._open(pool, wanted, now)

    def _open(self, pool: Pool, wanted: Mapping[str, int], now: float) -> None:
        namespace = pool[0]
        pods = dict(self._idle(*pool))
        for pod in pods.values():
            if pod.network_set:
                self._seen.setdefault(pod.uid, now)
        idle = {name: pod.network_set or self._opening.get(pod.uid, CLOSED) for name, pod in pods.items()}
        decided = networks_ahead.opening(idle, wanted, shared=len(self._sets(namespace) | set(wanted)) > 1)
        for name, found in decided.opened.items():
            self._opening[pods[name].uid] = found
            self._tasks.start(self._opened(namespace, name, pods[name], self._demand.what(found)))
        if decided.replaced and now - self._replaced.get(pool, -_REPLACING_S) >= _REPLACING_S:
            self._replaced[pool] = now
            for name in decided.replaced:
                log.info("pod %s/%s is open for a network that nobody wants now: it is replaced", namespace, name)
                self._deletions.soon(namespace, name, pods[name].uid, 0)

    async def _opened(self, namespace: str, name: str, pod: PodView, labels: dict[str, str]) -> None:
        """Only as it is known: whoever claims it meanwhile has another version of it, and this is refused."""
        metadata = {"resourceVersion": pod.resource_version, "labels": labels}
        try:
            await self._client.patch(PODS, name, {"metadata": metadata}, namespace)
        except KubeError as error:
            self._opening.pop(pod.uid, None)
            log.info("pod %s/%s is not opened ahead: %s", namespace, name, error)
