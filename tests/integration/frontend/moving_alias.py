"""The alias `live` of the function `f` as a user moves it, and the callers that it has meanwhile."""

import asyncio
import contextlib
from collections import Counter

from tests.eventually import eventually
from tests.integration.frontend.publishing import available
from tests.integration.loopback import RUNTIME_NAME, Cluster

from kubelambda.frontend.frontend import Frontend
from kubelambda.kube.errors import Overloaded
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ALIASES, FUNCTION_VERSIONS, FUNCTIONS, Resource


async def apply(cluster: Cluster, resource: Resource, name: str, spec: Object) -> None:
    """As a user does."""
    metadata = {"name": name, "namespace": cluster.namespace}
    manifest = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": spec}
    await cluster.client.apply(resource, manifest, manager="user")


async def publish(cluster: Cluster, number: int, source: str, runtime: str = RUNTIME_NAME) -> None:
    """Another version of the function."""
    spec = {"runtime": runtime, "handler": "index.handler", "code": {"inline": source}, "publish": True, "timeout": 60}
    await apply(cluster, FUNCTIONS, "f", spec)

    async def there() -> bool:
        with contextlib.suppress(Overloaded):  # an API server that has just begun reads a kind when it is asked first
            found = (await cluster.client.list(FUNCTION_VERSIONS, cluster.namespace))["items"]
            return any(version.get("status", {}).get("version") == str(number) for version in found)
        return False

    await eventually(there)


async def point(cluster: Cluster, version: int, environments: int = 1) -> None:
    """The alias with its provisioned environments."""
    units = {"provisionedConcurrentExecutions": environments}
    spec = {"functionName": "f", "name": "live", "functionVersion": str(version), "provisionedConcurrency": units}
    await apply(cluster, ALIASES, "f-live", spec)


async def told(cluster: Cluster, version: int, state: str) -> Object:
    """The status of the alias once it speaks of a version and its environments in that state."""

    async def status() -> Object | None:
        found: Object = (await cluster.client.get(ALIASES, "f-live", cluster.namespace)).get("status", {})
        units = found.get("provisionedConcurrency") or {}
        matches = (found.get("functionVersion"), units.get("status")) == (str(version), state)
        return found if matches else None

    found: Object = await eventually(status)
    return found


async def serving(cluster: Cluster, frontend: Frontend, version: int, environments: int = 1) -> None:
    """Waits until the operator says that a version is ready, and its callers get so many environments."""
    await told(cluster, version, "READY")
    await eventually(lambda: available(frontend, "live", str(version)) == environments)


class Callers:
    """One after the other calls the alias until the block ends, and what each of them got."""

    def __init__(self, cluster: Cluster, count: int = 1) -> None:
        self._cluster = cluster
        self._count = count
        self._stopped = False
        self.seen: Counter[tuple[int, str | None, str]] = Counter()
        """Answers by status, kind of environment and log stream."""

    async def __aenter__(self) -> "Callers":
        self._tasks = [asyncio.create_task(self._call()) for _ in range(self._count)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped = True
        await asyncio.gather(*self._tasks)

    async def _call(self) -> None:
        while not self._stopped:
            answer = await self._cluster.invoke("f:live")
            found = answer.json
            kind, stream = found.get("AWS_LAMBDA_INITIALIZATION_TYPE"), found.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
            self.seen[answer.status, kind, stream] += 1
            await asyncio.sleep(0.02)

    @property
    def kinds(self) -> set[tuple[int, str | None]]:
        """What there was, whoever served it."""
        return {(status, kind) for status, kind, _ in self.seen}
