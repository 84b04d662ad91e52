"""Pods of a function's own: made when no pool has one, up to the moment when they have an address."""

import asyncio
from collections.abc import Callable

from kubelambda.api import labels
from kubelambda.api.settings import Settings
from kubelambda.core.environment import tokens
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cold_start.start import NotStarted, Target
from kubelambda.kube.errors import Forbidden, Invalid, KubeError
from kubelambda.kube.fair_slots import FairSlots
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import PODS
from kubelambda.resources import environment_pod as rendering
from kubelambda.resources.topology import spread, within_zones


class Creation:
    """Creates pods, a few at once for each namespace: one whose pods cannot start is in nobody else's way."""

    def __init__(self, client: KubeClient, caches: Caches, settings: Settings, key: bytes) -> None:
        self._client = client
        self._caches = caches
        self._settings = settings
        self._key = key
        self.slots: FairSlots[str] = FairSlots(settings.environments.concurrent_pod_creations)

    async def create(self, target: Target) -> tuple[str, str]:
        """Name and uid of a new pod. Raises `NotStarted`."""
        try:
            created = await self._client.create(PODS, self._manifest(target), target.namespace)
        except (Forbidden, Invalid) as error:
            raise NotStarted(f"no pod may be created: {error}") from error
        except KubeError as error:
            raise NotStarted(f"no pod could be created: {error}") from error
        return created["metadata"]["name"], created["metadata"]["uid"]

    async def address(self, target: Target, name: str, look: Callable[[], None]) -> str:
        """The pod's address once it has one. `look` is called while it has none, and may raise to end the waiting.

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
                    await self._caches.changed(
                        pod=(target.namespace, name), pool=(target.namespace, target.configuration.runtime)
                    )
        except TimeoutError as error:
            raise NotStarted(f"pod {name} has no address after {seconds:.0f} s") from error

    async def join_network(self, target: Target, name: str) -> None:
        """Opens a pod that was born closed for what its security groups allow; before anything of a user runs in it.

        Whatever enforces policies has a moment to hear of the pod first: it must be closed before it is opened, and a
        policy that is late then only opens late. Raises `NotStarted`.
        """
        found = rendering.network_labels(target.configuration)
        if not found:
            return
        await asyncio.sleep(self._settings.network.settle_seconds)
        try:
            await self._client.patch(PODS, name, {"metadata": {"labels": found}}, target.namespace)
        except KubeError as error:
            raise NotStarted(f"pod {name} cannot join its network: {error}") from error

    def _manifest(self, target: Target) -> Object:
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
            ephemeral_storage_mb=configuration.ephemeral_storage,
            file_systems=configuration.file_systems,
        )
        found_labels = {
            labels.MANAGED_BY: labels.MANAGER,
            labels.COMPONENT: labels.COMPONENT_ENVIRONMENT,
            labels.RUNTIME: configuration.runtime,
            **rendering.function_labels(target.name, target.uid, configuration),
            **rendering.closed_labels(configuration),
        }
        metadata = {
            "generateName": f"{target.name[:40].rstrip('-')}-",
            **rendering.pod_metadata(found_labels, settings),
            "ownerReferences": [rendering.owner_reference(target.name, target.uid)],
        }
        zones = configuration.network.zones if configuration.network else ()
        placed = {**spread({labels.FUNCTION_UID: target.uid}), **within_zones(zones)}
        return {"metadata": metadata, "spec": {**spec, **placed}}
