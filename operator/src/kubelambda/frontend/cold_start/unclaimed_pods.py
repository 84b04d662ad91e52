"""Pods of a pool whose agents say that they serve a function: Kubernetes never heard of the claim, or not yet.

A frontend claims a pod in two steps, and may end between them. Whoever is refused by the agent asks it whose it is, and
completes the claim for whoever made it: the pod leaves its pool at once, and is found and used as an environment.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from kubelambda.api import environment_protocol, labels
from kubelambda.api.environment_protocol import EnvironmentState
from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.core.environment import tokens
from kubelambda.core.invoke.routing import LATEST
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.views import PodView
from kubelambda.frontend.cold_start.agent_state import ANSWER_S, agent_state
from kubelambda.frontend.cold_start.pod_deletion import PodDeletions
from kubelambda.frontend.cold_start.resizer import Resizer, ResizeRefused
from kubelambda.kube import claim
from kubelambda.kube.claim import ClaimLost
from kubelambda.kube.errors import KubeError, NotFound
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import PODS
from kubelambda.resources import environment_pod as rendering
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.client import connect

_ATTEMPTS = 5
"""A pod may change while it is looked at."""
_QUESTIONS = 4
"""An agent on a busy node may be slow to say what it runs, or to accept a connection."""
_PAUSE_S = 1.0

log = logging.getLogger(__name__)


class UnclaimedPods:
    """Completes the claims of pods that are somebody's already, or deletes them."""

    def __init__(
        self, client: KubeClient, caches: Caches, *, deletions: PodDeletions, resizer: Resizer, key: bytes
    ) -> None:
        self._client = client
        self._caches = caches
        self._resizer = resizer
        self._deletions = deletions
        self._key = key
        self._tasks = BackgroundTasks()

    def look(self, namespace: str, name: str, pod: PodView, refused: str) -> None:
        """A pod's agent says that it is taken, and not by the function with the uid `refused`.

        Looks whose it is, in the background.
        """
        self._tasks.start(self._look(namespace, name, pod, refused))

    async def _look(self, namespace: str, name: str, pod: PodView, refused: str) -> None:
        try:
            state = await self._said(pod)
            if state is None or not state.specialized:  # it ends, or the token that it knows is none of ours
                await self._disown(namespace, name, pod.uid, refused)
                return
            for _ in range(_ATTEMPTS):
                if await self._settled(namespace, name, pod.uid, state):
                    return
        except KubeError as error:
            log.info("pod %s/%s: whose it is, nobody says: %s", namespace, name, error)

    async def _disown(self, namespace: str, name: str, uid: str, refused: str) -> None:
        """Deletes a pod that has the labels of a function which its agent refused, and which it does not run."""
        found = await self._client.find(PODS, name, namespace)
        if found is None or found["metadata"]["uid"] != uid:
            return
        if (found["metadata"].get("labels") or {}).get(labels.FUNCTION_UID) == refused:
            log.warning("pod %s/%s has the labels of a function that it does not run: it is deleted", namespace, name)
            self._deletions.soon(namespace, name, uid, 0)

    async def _settled(self, namespace: str, name: str, uid: str, state: EnvironmentState) -> bool:
        """Whether nothing is left to do for a pod: Kubernetes knows whose it is, or it goes.

        What Kubernetes says of it is read anew: the claim of whoever was refused may have arrived all the same.
        """
        try:
            metadata = (await self._client.get(PODS, name, namespace))["metadata"]
        except NotFound:
            return True
        found_labels = metadata.get("labels") or {}
        known = found_labels.get(labels.FUNCTION_UID)
        if metadata["uid"] != uid or "deletionTimestamp" in metadata or known == state.function_uid:
            return True
        found = self._function(namespace, state)
        if labels.NETWORK in found_labels and not (found and _is_open(found_labels, found[1])):
            # Its labels open it, and only whoever has its agent may say so; nothing runs in it before that.
            if known is not None:
                log.warning("pod %s/%s has the network of a function that it does not run", namespace, name)
                self._deletions.soon(namespace, name, uid, 0)
            return True
        if found is None:
            log.warning("pod %s/%s serves %s, which is not there any more", namespace, name, state.function)
            self._deletions.soon(namespace, name, uid, rendering.GRACE_PERIOD_S)
            return True
        function, configuration = found
        owner_uid = state.function_uid or ""
        try:
            await claim.claim(
                self._client,
                namespace,
                name,
                resource_version=metadata["resourceVersion"],
                function_labels={
                    **rendering.function_labels(function, owner_uid, configuration),
                    **rendering.network_labels(configuration),
                },
                owner=rendering.owner_reference(function, owner_uid),
                now=datetime.now(UTC),
            )
        except ClaimLost:
            return False
        log.warning("pod %s/%s serves %s since before Kubernetes knew of it", namespace, name, function)
        with contextlib.suppress(ResizeRefused):
            await self._resizer.resize(namespace, name, configuration.memory_size)
        return True

    async def _said(self, pod: PodView) -> EnvironmentState | None:
        """What its agent says of itself; None when it does not, however often it is asked."""
        for left in reversed(range(_QUESTIONS)):
            try:
                return await self._state(pod)
            except (OSError, TimeoutError):
                if left:
                    await asyncio.sleep(_PAUSE_S)
        return None

    async def _state(self, pod: PodView) -> EnvironmentState | None:
        connection = await connect(pod.ip, environment_protocol.CONTROL_PORT, lambda _: None, ANSWER_S)
        try:
            return await agent_state(connection, pod.ip, tokens.environment_token(self._key, pod.uid))
        finally:
            connection.close()

    def _function(self, namespace: str, state: EnvironmentState) -> tuple[str, DeployedConfiguration] | None:
        """The function that an environment is of, as it was handed over; None when it is deleted or never ran here."""
        for (where, name), view in self._caches.functions.items.items():
            if where == namespace and view.uid == state.function_uid:
                version = state.version or LATEST
                found = view if version == LATEST else self._caches.published.version((namespace, name), version)
                deployed = found.deployed if found is not None else None
                if deployed is None:
                    return None
                return name, deployed.model_copy(update={"revision": state.revision or deployed.revision})
        return None


def _is_open(found_labels: Mapping[str, str], configuration: DeployedConfiguration) -> bool:
    """Whether a pod is open for the network of a function already: completing its claim opens nothing."""
    network = configuration.network
    return network is not None and found_labels.get(labels.NETWORK_SET) == network.set
