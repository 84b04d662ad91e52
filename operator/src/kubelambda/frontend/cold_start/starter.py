"""Starting environments: a claimed pool pod where there is one, else a pod of their own (DESIGN §4)."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from kubelambda.api.settings import Settings
from kubelambda.core.environment.start_plan import PodSource, StartPlan, start_plan
from kubelambda.core.invoke import invoke_error
from kubelambda.core.pool import layers_ahead
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.views import PodView
from kubelambda.frontend.cold_start.archive_cache import Archives
from kubelambda.frontend.cold_start.claiming import Claiming, TakenPod
from kubelambda.frontend.cold_start.creation import Creation
from kubelambda.frontend.cold_start.held_pods import HeldPods
from kubelambda.frontend.cold_start.mounting import Mounting
from kubelambda.frontend.cold_start.network_joining import NetworkJoining
from kubelambda.frontend.cold_start.opened_pods import OpenedPods
from kubelambda.frontend.cold_start.pod_deletion import PodDeletions
from kubelambda.frontend.cold_start.resizer import Resizer
from kubelambda.frontend.cold_start.specializer import PROVISIONED, AgentAddress, Prepared, Specializer
from kubelambda.frontend.cold_start.start import NotStarted, Started, StartFailed, Taken, Target, TooSmall, Watcher
from kubelambda.frontend.cold_start.unclaimed_pods import UnclaimedPods
from kubelambda.frontend.cold_start.variable_values import Variables
from kubelambda.kube.kube_client import KubeClient
from kubelambda.wire.background_tasks import BackgroundTasks

log = logging.getLogger(__name__)


class Starter:
    """Starts environments for all functions of this frontend."""

    def __init__(
        self,
        client: KubeClient,
        caches: Caches,
        *,
        archives: Archives,
        variables: Variables,
        settings: Settings,
        key: bytes,
        on_claim: Callable[[str, str], None],
    ) -> None:
        self._caches = caches
        self._settings = settings
        self._on_claim = on_claim
        self._sizes = Resizer(client, caches, settings.environments)
        self.deletions = PodDeletions(client)
        self.unclaimed = UnclaimedPods(client, caches, deletions=self.deletions, resizer=self._sizes, key=key)
        self._specializer = Specializer(archives, variables, key, settings)
        self._claiming = Claiming(
            client,
            caches,
            self._specializer,
            self._sizes,
            self.deletions,
            unclaimed=self.unclaimed,
            opening_s=settings.network.opening_seconds,
        )
        self.held = HeldPods(archives, key, self._claiming.idle)
        self._opened = OpenedPods(
            client,
            self._claiming.idle,
            self.deletions,
            self._network_sets,
            opening_s=settings.network.opening_seconds,
        )
        self._creation = Creation(client, caches, settings, key)
        self._network = NetworkJoining(client, settings.network)
        self._mounting = Mounting(client, caches, settings)
        self._under_way: set[str] = set()
        self._tasks = BackgroundTasks()

    async def start(self, target: Target, watcher: Watcher, *, own_pod: bool = False) -> Started | None:
        """A started environment, or None when the watcher says that nobody waits for it any more.

        `own_pod`: none out of the pool. Raises `NotStarted` or `StartFailed`; neither leaves a pod behind.
        """
        # What may be missing is fetched first: a pod that is taken for nothing is lost to its pool.
        prepared = await self._specializer.prepare(target)
        plan = self._plan(target, own_pod=own_pod)
        taken: TakenPod | None = None
        watcher = self._counting(target, plan, watcher)
        while True:
            taken = taken or self._take(target, plan)
            try:
                if taken is None:
                    started = await self._create(target, plan, prepared, watcher)
                else:
                    pod, taken = taken, None
                    started = await self._claim(target, plan, prepared, pod, watcher)
            except _PoolPodAppeared as appeared:
                taken = appeared.pod
            except Taken:
                continue
            except TooSmall as error:
                log.info("function %s/%s gets a pod of its own: %s", target.namespace, target.name, error)
                plan = self._plan(target, own_pod=True)
            else:
                if started is not None:
                    self._mounting.mounted(target, plan.pool.shape)
                return started

    async def prepare(self, target: Target) -> Prepared:
        """What has to be fetched for an environment. Raises `NotStarted`, or `StartFailed` when something lacks."""
        return await self._specializer.prepare(target)

    async def join_network(self, target: Target, pod: AgentAddress) -> None:
        """Opens a pod that is kept for a function for what its groups allow. Raises `NotStarted` unless it is closed.

        What is not closed yet may be so a moment later: nothing was handed over, and another try is free.
        """
        await self._network.join(target, pod, 0)

    async def provision(
        self, target: Target, prepared: Prepared, pod: AgentAddress, lost: Callable[[], None]
    ) -> Started:
        """Initializes a pod that is kept for the function. `lost` is called when its connection ends.

        Raises `NotStarted`, or `StartFailed` when INIT failed.
        """
        target = replace(target, initialization_type=PROVISIONED)
        watcher = Watcher(begin=lambda: True, lost=lambda _: lost(), claim_lost=lambda: None, misplaced=lambda: None)
        self._under_way.add(pod.uid)
        try:
            return await self._specializer.specialize(target, prepared, pod, watcher)
        finally:
            self._under_way.discard(pod.uid)

    def starting(self, uid: str) -> bool:
        """Whether a start of this frontend is at work on a pod, and says itself what becomes of it."""
        return uid in self._under_way

    def pod_gone(self, uid: str) -> None:
        """A pod is not there any more."""
        self.pod_claimed(uid)
        self.deletions.gone(uid)

    def pod_claimed(self, uid: str) -> None:
        """A pod is in no pool any more, and everybody sees it."""
        self._claiming.forget(uid)
        self.held.forget(uid)
        self._opened.forget(uid)

    def look_ahead(self) -> None:
        """Has idle pods do what the next functions would wait for."""
        self.held.look()
        self._opened.look()

    def purge_pools(self) -> None:
        """Deletes what is in a pool and can never be taken."""
        self._claiming.purge(time.monotonic())

    def refused_size(self, namespace: str, pod: str) -> bool:
        """Whether a pod's node does not grant the size that it was given."""
        return self._sizes.refused(namespace, pod)

    def limit_soon(self, target: Target, pod: str) -> None:
        """Sets the limits of a function on a pod whose node cannot grant its requests, in the background."""
        self._tasks.start(self._sizes.limit(target.namespace, pod, target.configuration.memory_size))

    def _plan(self, target: Target, *, own_pod: bool) -> StartPlan:
        settings = self._settings.environments
        return start_plan(
            target.configuration,
            overhead_mb=settings.memory_overhead_mb,
            pool_limit_mb=settings.pool_memory_limit_mb,
            own_pod=own_pod,
        )

    def _counting(self, target: Target, plan: StartPlan, watcher: Watcher) -> Watcher:
        """The same watcher, whose first `begin` counts as demand for the pool, whether or not that has a pod."""
        uncounted = plan.source is PodSource.POOL

        def begin() -> bool:
            nonlocal uncounted
            wanted = watcher.begin()
            if wanted and uncounted:
                uncounted = False
                self._on_claim(target.namespace, plan.pool.id)
                self.held.claimed(target.namespace, plan.pool.id, target.configuration)
                self._opened.claimed(target.namespace, plan.pool.id, target.configuration)
            return wanted

        return replace(watcher, begin=begin)

    def _take(self, target: Target, plan: StartPlan) -> TakenPod | None:
        if plan.source is not PodSource.POOL:
            return None
        network, layers = self._opened.ranking(target.configuration), self.held.ranking(target.configuration)

        def rank(pod: PodView) -> int | None:
            found = network(pod)
            return None if found is None else found * layers_ahead.RANKS + layers(pod.uid)

        return self._claiming.take(target.namespace, plan.pool.id, rank)

    def _network_sets(self, namespace: str) -> set[str]:
        functions = (view for (where, _), view in self._caches.functions.items.items() if where == namespace)
        return {view.deployed.network.set for view in functions if view.deployed and view.deployed.network}

    async def _claim(
        self, target: Target, plan: StartPlan, prepared: Prepared, pod: TakenPod, watcher: Watcher
    ) -> Started | None:
        self._under_way.add(pod[1].uid)
        try:
            wanted = False
            try:
                wanted = watcher.begin()
            finally:
                if not wanted:
                    self._claiming.put_back(pod[1])
            if not wanted:
                return None
            is_open = self._opened.open_for(pod[1], target.configuration)
            return await self._claiming.claim(target, plan, prepared, pod, watcher, is_open=is_open)
        finally:
            self._under_way.discard(pod[1].uid)

    async def _create(self, target: Target, plan: StartPlan, prepared: Prepared, watcher: Watcher) -> Started | None:
        """A pod of the function's own; a pool pod that appears before that has an address is better."""
        slots = self._creation.slots
        ticket = slots.request(target.namespace)
        try:
            while not ticket.done():
                await self._caches.changed(ticket, pool=(target.namespace, plan.pool.id))
                self._prefer_pool(target, plan)
            if not watcher.begin():
                return None
            name, uid = await self._creation.create(target, plan.pool)
            self._under_way.add(uid)
            try:
                address = self._creation.address(target, name, plan.pool, lambda: self._prefer_pool(target, plan))
                ip = await self._mounting.over(target, plan.pool.shape, name, address)
            except BaseException:
                self._discard(target, name, uid)
                raise
        finally:
            slots.release(target.namespace, ticket)
        try:
            pod = AgentAddress(name, uid, ip)
            seconds = self._settings.environments.start_timeout_seconds
            look = partial(self._check_image, target, name)
            dialing = self._specializer.dial(ip, seconds, look)
            await self._mounting.over(target, plan.pool.shape, name, dialing)
            await self._network.join(target, pod, seconds, look)
            started = await self._specializer.specialize(target, prepared, pod, watcher)
        except Taken as error:  # it was made for this function: nobody else can have it
            self._discard(target, name, uid)
            raise NotStarted(str(error)) from error
        except TimeoutError as error:
            self._discard(target, name, uid)
            raise NotStarted(f"pod {name}: its agent does not listen") from error
        except BaseException:
            self._discard(target, name, uid)
            raise
        self._under_way.discard(uid)
        return started

    def _check_image(self, target: Target, pod: str) -> None:
        """Raises `StartFailed` when the node of a pod does not get the image of the function, or of its runtime."""
        found = self._caches.pods.items.get((target.namespace, pod))
        if found is not None and found.image_refused:
            runtime, image = target.configuration.runtime, target.configuration.image
            what = f"Source image {image.uri}" if image is not None else f"The image of Runtime {runtime}"
            raise StartFailed(invoke_error.not_ready(f"{what} cannot be pulled: {found.image_refused}"))

    def _discard(self, target: Target, name: str, uid: str) -> None:
        self._under_way.discard(uid)
        self.deletions.soon(target.namespace, name, uid, 0)

    def _prefer_pool(self, target: Target, plan: StartPlan) -> None:
        """Raises when the pool has a pod."""
        taken = self._take(target, plan)
        if taken is not None:
            raise _PoolPodAppeared(taken)


class _PoolPodAppeared(Exception):
    """While a start waited for a pod of its own."""

    def __init__(self, pod: TakenPod) -> None:
        super().__init__(pod[0])
        self.pod = pod
