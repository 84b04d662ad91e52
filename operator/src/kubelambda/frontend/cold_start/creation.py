"""Pods of a function's own: made when no pool has one, up to the moment when they have an address."""

import asyncio
from collections.abc import Callable

from kubelambda.api import labels
from kubelambda.api.settings import Settings
from kubelambda.core.environment import tokens
from kubelambda.core.environment.pool_identity import PoolIdentity
from kubelambda.core.environment.shape import Shape
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cold_start.start import NotStarted, Target
from kubelambda.kube.errors import Forbidden, Invalid, KubeError
from kubelambda.kube.fair_slots import FairSlots
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import PODS
from kubelambda.resources import environment_pod as rendering
from kubelambda.resources.closure_check import closure_check
from kubelambda.resources.topology import placed


class Creation:
    """Creates pods, a few at once for each namespace: one whose pods cannot start is in nobody else's way."""

    def __init__(self, client: KubeClient, caches: Caches, settings: Settings, key: bytes) -> None:
        self._client = client
        self._caches = caches
        self._settings = settings
        self._key = key
        self.slots: FairSlots[str] = FairSlots(settings.environments.concurrent_pod_creations)

    async def create(self, target: Target, pool: PoolIdentity) -> tuple[str, str]:
        """Name and uid of a new pod, with the shape of the pool's. Raises `NotStarted`."""
        try:
            created = await self._client.create(PODS, self._manifest(target, pool.shape), target.namespace)
        except (Forbidden, Invalid) as error:
            raise NotStarted(f"no pod may be created: {error}") from error
        except KubeError as error:
            raise NotStarted(f"no pod could be created: {error}") from error
        return created["metadata"]["name"], created["metadata"]["uid"]

    async def address(self, target: Target, name: str, pool: PoolIdentity, look: Callable[[], None]) -> str:
        """The pod's address once it has one.

        `look` is called while it has none, with every change of the pool too, and may raise to end the waiting.

        Raises `NotStarted`.
        """
        seconds = self._settings.environments.start_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                while True:
                    pod = self._caches.pods.items.get((target.namespace, name))
                    if pod is not None and pod.ending:
                        raise NotStarted(f"pod {name} ended")
                    if pod is not None and pod.ip:
                        return pod.ip
                    look()
                    await self._caches.changed(pod=(target.namespace, name), pool=(target.namespace, pool.id))
        except TimeoutError as error:
            raise NotStarted(f"pod {name} has no address after {seconds:.0f} s") from error

    def _manifest(self, target: Target, shape: Shape) -> Object:
        configuration, settings = target.configuration, self._settings.environments
        runtime = self._caches.runtimes.items.get(("", configuration.runtime))
        if runtime is None:
            raise NotStarted(f"Runtime {configuration.runtime} does not exist any more")
        spec = rendering.pod_spec(
            configuration.runtime,
            runtime,
            settings,
            resources=rendering.configured_resources(configuration.memory_size, settings),
            token_sha256=tokens.pool_token_sha256(self._key, target.namespace),
            shape=shape,
            closure=closure_check(self._settings),
        )
        found_labels = {
            labels.MANAGED_BY: labels.MANAGER,
            labels.COMPONENT: labels.COMPONENT_ENVIRONMENT,
            labels.RUNTIME: configuration.runtime,
            **rendering.function_labels(target.name, target.uid, configuration),
            **rendering.closed_labels(shape),
        }
        metadata = {
            "generateName": f"{target.name[:40].rstrip('-')}-",
            **rendering.pod_metadata(found_labels, settings, shape),
            "ownerReferences": [rendering.owner_reference(target.name, target.uid)],
        }
        return {"metadata": metadata, "spec": {**spec, **placed({labels.FUNCTION_UID: target.uid}, shape.zones)}}
