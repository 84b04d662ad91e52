"""From an idle pool pod to an environment of a function (DESIGN §4)."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from kubelambda.core.environment.start_plan import StartPlan
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.views import PodView
from kubelambda.frontend.cold_start.pod_deletion import PodDeletions
from kubelambda.frontend.cold_start.resizer import Resizer, ResizeRefused
from kubelambda.frontend.cold_start.specializer import AgentAddress, Prepared, Specializer
from kubelambda.frontend.cold_start.start import NotStarted, Started, Taken, Target, TooSmall, Watcher
from kubelambda.frontend.cold_start.unclaimed_pods import UnclaimedPods
from kubelambda.kube import claim
from kubelambda.kube.claim import ClaimLost
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.reflector import Name
from kubelambda.resources import environment_pod as rendering
from kubelambda.wire.background_tasks import BackgroundTasks

_CLAIM_S = 10.0
"""For a claim that has to be in force before anything runs in the pod."""
_POISONED_S = 2 * _CLAIM_S
"""A pod that its agent says is taken, and is still in the pool after this long, is nobody's.

Of an open pod the agent says whose it is, and others complete the claim. Of a closed one nobody but its frontend may,
which needs `_CLAIM_S` at most; or that is gone.
"""

log = logging.getLogger(__name__)

type TakenPod = tuple[str, PodView]
"""Name and view of a pool pod that a start has taken."""


class Claiming:
    """Takes pool pods: the agent is the lock, and what Kubernetes knows follows."""

    def __init__(
        self,
        client: KubeClient,
        caches: Caches,
        specializer: Specializer,
        resizer: Resizer,
        deletions: PodDeletions,
        *,
        unclaimed: UnclaimedPods,
        opening_s: float,
    ) -> None:
        """`opening_s`: how long INIT waits once a closed pod is opened."""
        self._client = client
        self._caches = caches
        self._specializer = specializer
        self._resizer = resizer
        self._deletions = deletions
        self._unclaimed = unclaimed
        self._opening_s = opening_s
        self._taken: dict[str, Name] = {}
        self._refused: dict[str, float] = {}
        self._tasks = BackgroundTasks()

    def take(self, namespace: str, pool_id: str, rank: Callable[[PodView], int | None]) -> TakenPod | None:
        """The pod of a pool with the lowest rank, 0 if there is one; nobody else on this frontend gets it any more.

        Those without a rank do not do.
        """
        found, lowest = None, math.inf
        for each in self.idle(namespace, pool_id):
            ranked = rank(each[1])
            if ranked is not None and ranked < lowest:
                found, lowest = each, ranked
            if ranked == 0:
                break  # there may be a thousand
        if found is not None:
            self._taken[found[1].uid] = (namespace, found[0])
        return found

    def idle(self, namespace: str, pool_id: str) -> Iterator[TakenPod]:
        """The pods of a pool that can be taken."""
        for name in self._caches.pool(namespace, pool_id):
            pod = self._caches.pods.items[namespace, name]
            usable = pod.ready and not pod.ending and pod.restarts == 0
            if usable and pod.uid not in self._taken and not self._deletions.pending(pod.uid):
                yield name, pod

    def put_back(self, pod: PodView) -> None:
        """What was taken is not needed."""
        self._taken.pop(pod.uid, None)

    def forget(self, uid: str) -> None:
        """A pod is gone, or in no pool any more: nobody will take it again."""
        self._taken.pop(uid, None)
        self._refused.pop(uid, None)

    def purge(self, now: float) -> None:
        """Deletes what is in a pool and can never be taken: their agents are specialized, and nobody claims them."""
        for uid, since in list(self._refused.items()):
            name = self._taken.get(uid)
            pod = self._caches.pods.items.get(name) if name else None
            if name is None or pod is None or pod.uid != uid or not pod.pool:
                self.forget(uid)
            elif now - since > _POISONED_S and not self._deletions.pending(uid):
                log.warning("pod %s/%s is in a pool and cannot be taken: it is deleted", *name)
                self._deletions.soon(*name, uid, rendering.GRACE_PERIOD_S)

    async def claim(
        self,
        target: Target,
        plan: StartPlan,
        prepared: Prepared,
        taken: TakenPod,
        watcher: Watcher,
        *,
        is_open: bool,
    ) -> Started:
        """An environment out of a pod that `take` gave. Raises as `Starter.start`; the pod is deleted then.

        Except `Taken`: then it is somebody else's. `is_open`: the pod has the function's network already.
        """
        name, pod = taken
        try:
            if plan.claim_first(is_open=is_open):
                return await self._claimed_first(target, plan, prepared, taken, watcher)
            return await self._claimed_meanwhile(target, prepared, taken, watcher)
        except Taken:
            self._refused.setdefault(pod.uid, time.monotonic())
            self._unclaimed.look(target.namespace, name, pod, target.uid)
            raise
        except BaseException:
            self._deletions.soon(target.namespace, name, pod.uid, 0)
            raise

    async def _claimed_first(
        self, target: Target, plan: StartPlan, prepared: Prepared, taken: TakenPod, watcher: Watcher
    ) -> Started:
        """The pod gets everything, and runs nothing of the function before Kubernetes knows whose it is.

        Only whom the agent has taken says so to Kubernetes: no other function can open the pod, however late it comes.
        """
        name, pod = taken
        handed = await self._specializer.hand_over(target, prepared, AgentAddress(name, pod.uid, pod.ip), watcher)
        try:
            await self._in_force(target, name, pod, ours=handed.ours)
            if plan.pool.shape.closed:
                # It opens only: what an enforcer does late, it allows late. So nobody has to wait for that by default.
                await asyncio.sleep(self._opening_s)
            if plan.enlarge_first:
                # The pool's limit is too small to run in: the pod is the function's, and of its size, before it begins.
                await self._enlarged(target, name)
            started = await handed.begin()
        except BaseException:
            handed.give_up()
            raise
        if not plan.enlarge_first:
            self._tasks.start(self._resized(target, name, watcher))
        return started

    async def _claimed_meanwhile(
        self, target: Target, prepared: Prepared, taken: TakenPod, watcher: Watcher
    ) -> Started:
        name, pod = taken
        claiming = asyncio.get_running_loop().create_task(self._known_to_kubernetes(target, name, pod))
        claiming.add_done_callback(lambda task: task.cancelled() or task.exception())  # whoever waits for it says it
        try:
            started = await self._specializer.specialize(target, prepared, AgentAddress(name, pod.uid, pod.ip), watcher)
        except BaseException:
            claiming.cancel()
            raise
        self._tasks.start(self._finish(claiming, target, name, watcher))
        return started

    async def _in_force(self, target: Target, name: str, pod: PodView, *, ours: bool) -> None:
        """Returns once Kubernetes knows of the claim. `ours`: the agent takes no other function."""
        try:
            async with asyncio.timeout(_CLAIM_S):
                await self._known_to_kubernetes(target, name, pod)
        except ClaimLost as error:
            if ours:  # nobody else can have it either: it goes, and another one may do
                self._deletions.soon(target.namespace, name, pod.uid, 0)
            raise Taken(str(error)) from error
        except (KubeError, TimeoutError) as error:
            raise NotStarted(f"pod {name} cannot be claimed: {error or type(error).__name__}") from error

    async def _enlarged(self, target: Target, name: str) -> None:
        try:
            await self._resizer.enlarge(target.namespace, name, target.configuration.memory_size)
        except ResizeRefused as error:
            raise TooSmall(f"pod {name}: {error}") from error

    async def _finish(self, claiming: "asyncio.Task[None]", target: Target, name: str, watcher: Watcher) -> None:
        """The claim is known to Kubernetes, or lost; then the size follows, off the path of the first invocation."""
        try:
            await claiming
        except (ClaimLost, KubeError) as error:
            log.warning("a claim was lost: %s", error)
            watcher.claim_lost()
            return
        await self._resized(target, name, watcher)

    async def _resized(self, target: Target, name: str, watcher: Watcher) -> None:
        try:
            await self._resizer.resize(target.namespace, name, target.configuration.memory_size)
        except ResizeRefused as refused:
            log.warning("pod %s/%s keeps its size: %s", target.namespace, name, refused)
            watcher.misplaced()

    async def _known_to_kubernetes(self, target: Target, name: str, pod: PodView) -> None:
        await claim.claim(
            self._client,
            target.namespace,
            name,
            resource_version=pod.resource_version,
            function_labels={
                **rendering.function_labels(target.name, target.uid, target.configuration),
                **rendering.network_labels(target.configuration),
            },
            owner=rendering.owner_reference(target.name, target.uid),
            now=datetime.now(UTC),
        )
