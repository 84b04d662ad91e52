"""Starting environments: a claimed pool pod where there is one, else a pod of their own (DESIGN §4)."""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubelambda.api import environment_protocol, labels
from kubelambda.api.environment_protocol import ArchiveReference, Specialization
from kubelambda.api.kinds.function import DeployedConfiguration
from kubelambda.api.settings import Settings
from kubelambda.core.account import identity
from kubelambda.core.environment import tokens
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.views import PodView
from kubelambda.frontend.cold_start.archive_cache import Archives
from kubelambda.frontend.cold_start.resizer import Resizer, ResizeRefused
from kubelambda.frontend.cold_start.variable_values import Variables
from kubelambda.kube import claim
from kubelambda.kube.claim import ClaimLost
from kubelambda.kube.errors import KubeError, NotFound
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import PODS
from kubelambda.resources import environment_pod as rendering
from kubelambda.wire.client import ClientConnection, connect, request_head

_DIAL_PAUSE_S = 0.02
_DIAL_S = 0.1
"""A packet to an address that is not wired yet is lost without a word, and TCP repeats it only after a second."""
_SPECIALIZE_S = 130.0

log = logging.getLogger(__name__)


class NotStarted(Exception):
    """No environment came of it; worth another try."""


class Taken(NotStarted):
    """Another frontend has claimed the pod."""


class TooSmall(NotStarted):
    """The pod cannot be made large enough for its function."""


@dataclass(slots=True)
class InitializationFailed(Exception):
    """INIT failed: `error` is what one caller gets."""

    error: Any


@dataclass(frozen=True, slots=True)
class Target:
    """The function that an environment is for."""

    namespace: str
    name: str
    uid: str
    account: str
    configuration: DeployedConfiguration


@dataclass(slots=True)
class Started:
    """An environment that waits for its first invocation."""

    pod: str
    uid: str
    token: str
    connection: ClientConnection


@dataclass(frozen=True, slots=True)
class Watcher:
    """What a start tells to whoever asked for it."""

    begin: Callable[[], bool]
    """Called when a pod is about to be taken or made: False when nobody waits for it any more."""
    lost: Callable[[bool], None]
    """The connection ended."""
    claim_lost: Callable[[], None]
    """The pod is not ours after all."""
    misplaced: Callable[[], None]
    """The pod runs on, but its node does not give it its size."""


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
        self._client = client
        self._caches = caches
        self._archives = archives
        self._variables = variables
        self._settings = settings
        self._key = key
        self._on_claim = on_claim
        self._sizes = Resizer(client, caches, settings.environments)
        self._creations = asyncio.Semaphore(settings.environments.concurrent_pod_creations)
        self._taken: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, target: Target, watcher: Watcher, *, own_pod: bool = False) -> Started | None:
        """A started environment, or None when the watcher says that nobody waits for it any more.

        `own_pod`: none out of the pool. Raises `NotStarted` or `InitializationFailed`.
        """
        own_pod = own_pod or rendering.needs_own_pod(target.configuration)
        while True:
            pooled = None if own_pod else self._from_pool(target)
            if pooled is not None:
                if not watcher.begin():
                    self._taken.discard(pooled[1].uid)
                    return None
                self._on_claim(target.namespace, target.configuration.runtime)
                try:
                    return await self._claim(target, *pooled, watcher)
                except Taken:
                    continue
                except TooSmall as error:
                    log.info("function %s/%s gets a pod of its own: %s", target.namespace, target.name, error)
                    own_pod = True
            async with self._creations:
                if not own_pod and self._candidate(target) is not None:
                    continue
                if not watcher.begin():
                    return None
                if not own_pod:
                    self._on_claim(target.namespace, target.configuration.runtime)
                return await self._create(target, watcher)

    def _from_pool(self, target: Target) -> tuple[str, PodView] | None:
        found = self._candidate(target)
        if found is not None:
            self._taken.add(found[1].uid)
        return found

    def _candidate(self, target: Target) -> tuple[str, PodView] | None:
        for name in self._caches.pool(target.namespace, target.configuration.runtime):
            pod = self._caches.pods.items[target.namespace, name]
            if pod.ready and not pod.ending and pod.restarts == 0 and pod.uid not in self._taken:
                return name, pod
        return None

    async def _claim(self, target: Target, name: str, pod: PodView, watcher: Watcher) -> Started:
        adopting = self._adopt_pod(target, name, pod)
        if self._sizes.exceeds_pool(target.configuration.memory_size):
            # The pool's limit is too small to run in: the pod is the function's, and of its size, before it begins.
            try:
                await adopting
            except (ClaimLost, KubeError) as error:
                raise NotStarted(str(error)) from error
            try:
                await self._sizes.enlarge(target.namespace, name, target.configuration.memory_size)
            except ResizeRefused as error:
                await self.delete(target.namespace, name, 0)
                raise TooSmall(f"pod {name}: {error}") from error
            return await self._specialize(target, name, pod.uid, pod.ip, watcher)
        task = asyncio.ensure_future(adopting)
        try:
            started = await self._specialize(target, name, pod.uid, pod.ip, watcher)
        except Taken:
            task.cancel()
            raise
        task.add_done_callback(lambda finished: self._adopted(finished, target, name, watcher))
        return started

    def _adopted(self, claimed: "asyncio.Future[None]", target: Target, name: str, watcher: Watcher) -> None:
        """The claim is known to Kubernetes, or lost; then the size follows, off the path of the first invocation."""
        error = None if claimed.cancelled() else claimed.exception()
        if error is not None:
            log.warning("a claim was lost: %s", error)
            watcher.claim_lost()
            return

        async def resize() -> None:
            try:
                await self._sizes.resize(target.namespace, name, target.configuration.memory_size)
            except ResizeRefused as refused:
                log.warning("pod %s/%s keeps its size: %s", target.namespace, name, refused)
                watcher.misplaced()

        self._spawn(resize())

    async def _adopt_pod(self, target: Target, name: str, pod: PodView) -> None:
        """Makes the claim known to Kubernetes."""
        await claim.claim(
            self._client,
            target.namespace,
            name,
            resource_version=pod.resource_version,
            function_labels=rendering.function_labels(target.name, target.uid, target.configuration),
            owner=rendering.owner_reference(target.name, target.uid),
            now=datetime.now(UTC),
        )

    async def _create(self, target: Target, watcher: Watcher) -> Started:
        runtime = self._caches.runtimes.items.get(("", target.configuration.runtime))
        if runtime is None:
            raise NotStarted(f"Runtime {target.configuration.runtime} does not exist any more")
        settings = self._settings.environments
        spec = rendering.pod_spec(
            target.configuration.runtime,
            runtime,
            settings,
            resources=rendering.configured_resources(target.configuration.memory_size, settings),
            token_sha256=tokens.pool_token_sha256(self._key, target.namespace),
            ephemeral_storage_mb=target.configuration.ephemeral_storage,
        )
        found_labels = {
            labels.MANAGED_BY: labels.MANAGER,
            labels.COMPONENT: labels.COMPONENT_ENVIRONMENT,
            labels.RUNTIME: target.configuration.runtime,
            **rendering.function_labels(target.name, target.uid, target.configuration),
        }
        metadata = {
            "generateName": f"{target.name[:40].rstrip('-')}-",
            **rendering.pod_metadata(found_labels, settings),
            "ownerReferences": [rendering.owner_reference(target.name, target.uid)],
        }
        try:
            created = await self._client.create(PODS, {"metadata": metadata, "spec": spec}, target.namespace)
        except KubeError as error:
            raise NotStarted(f"no pod could be created: {error}") from error
        name, uid = created["metadata"]["name"], created["metadata"]["uid"]
        try:
            ip = await self._address(target.namespace, name)
            await _dial(ip, self._settings.environments.start_timeout_seconds)
            return await self._specialize(target, name, uid, ip, watcher)
        except (NotStarted, TimeoutError, OSError) as error:
            await self.delete(target.namespace, name, 0)
            raise NotStarted(f"pod {name}: {error}") from error

    async def _address(self, namespace: str, name: str) -> str:
        async with asyncio.timeout(self._settings.environments.start_timeout_seconds):
            while True:
                pod = self._caches.pods.items.get((namespace, name))
                if pod is not None and pod.ending:
                    raise NotStarted("the pod ended")
                if pod is not None and pod.ip:
                    return pod.ip
                await self._caches.pod_changed(namespace, name)

    async def _specialize(self, target: Target, name: str, uid: str, ip: str, watcher: Watcher) -> Started:
        token = tokens.environment_token(self._key, uid)
        configuration = target.configuration
        try:
            archive, url = await self._archives.get(configuration.code)
            variables = await self._variables.resolve(
                target.namespace, configuration.revision, configuration.environment
            )
            config = _specialization(target, token, variables, url, self._settings).encode()
            headers = {
                "Authorization": f"Bearer {tokens.pool_token(self._key, target.namespace)}",
                environment_protocol.CONFIG_LENGTH: len(config),
            }
            connection = await connect(ip, environment_protocol.CONTROL_PORT, watcher.lost)
            head = request_head("POST", environment_protocol.SPECIALIZE, ip, headers, len(config) + len(archive))
            async with asyncio.timeout(_SPECIALIZE_S):
                status, _, body = await connection.call(head, config + archive)
        except (OSError, TimeoutError) as error:
            raise NotStarted(f"pod {name} does not answer: {error or type(error).__name__}") from error
        except Exception as error:
            raise NotStarted(f"pod {name}: {error}") from error
        return self._outcome(Started(name, uid, token, connection), status, body)

    def _outcome(self, started: Started, status: int, body: bytes) -> Started:
        if status == 200:
            answer = json.loads(body)
            if answer["status"] != "init-error":
                return started
            started.connection.close()
            raise InitializationFailed(answer["error"])
        started.connection.close()
        if status == 409:
            raise Taken(f"pod {started.pod} is taken")
        raise NotStarted(f"pod {started.pod} answered {status}: {body[:300].decode(errors='replace')}")

    async def delete(self, namespace: str, pod: str, grace_seconds: float) -> None:
        """Deletes an environment's pod; it may take `grace_seconds` to finish what it runs."""
        try:
            await self._client.delete(PODS, pod, namespace, grace_seconds=int(grace_seconds))
        except NotFound:
            pass
        except KubeError as error:
            log.warning("pod %s/%s could not be deleted: %s", namespace, pod, error)

    def refused_size(self, namespace: str, pod: str) -> bool:
        """Whether a pod's node does not grant the size that it was given."""
        return self._sizes.refused(namespace, pod)

    def limit_soon(self, target: Target, pod: str) -> None:
        """Sets the limits of a function on a pod whose node cannot grant its requests, in the background."""
        self._spawn(self._sizes.limit(target.namespace, pod, target.configuration.memory_size))

    def delete_soon(self, namespace: str, pod: str, grace_seconds: float) -> None:
        """As `delete`, in the background."""
        self._spawn(self.delete(namespace, pod, grace_seconds))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _dial(ip: str, seconds: float) -> None:
    """Returns once the agent listens; quicker to notice than any readiness probe."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                connection = await connect(ip, environment_protocol.CONTROL_PORT, lambda _: None, _DIAL_S)
            except (OSError, TimeoutError):
                await asyncio.sleep(_DIAL_PAUSE_S)
                continue
            connection.close()
            return


def _specialization(
    target: Target, token: str, variables: dict[str, str], url: str | None, settings: Settings
) -> Specialization:
    found = target.configuration
    name = found.function_name or target.name
    return Specialization(
        token=token,
        name=name,
        uid=target.uid,
        arn=identity.function_arn(settings.region, target.account, name),
        account_id=target.account,
        version=found.version,
        revision=found.revision,
        runtime=found.runtime,
        handler=found.handler,
        memory_size=found.memory_size,
        timeout=found.timeout,
        log_group=found.log_group,
        region=settings.region,
        code=ArchiveReference(found.code.sha256, found.code.size, url),
        billing_increment_ms=settings.billing_increment_ms,
        variables=variables,
    )
