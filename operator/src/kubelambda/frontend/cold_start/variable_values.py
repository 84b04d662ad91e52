"""Values of environment variables, out of Secrets and ConfigMaps: fetched ahead, so that a cold start need not wait."""

import asyncio
import base64
import logging
import time

from kubelambda.api.kinds.function import EnvironmentVariables, VariableSource
from kubelambda.kube.errors import KubeError, NotFound
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import CONFIG_MAPS, SECRETS

FRESH_S = 60.0

log = logging.getLogger(__name__)


class MissingVariable(Exception):
    """A variable has no value; the message names the object and the key."""


class Variables:
    """The values of each function's variables, at most a minute old, and older only while the API server is away."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._known: dict[tuple[str, str], tuple[float, dict[str, str]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def resolve(self, namespace: str, revision: str, environment: EnvironmentVariables) -> dict[str, str]:
        """All variables. Raises `MissingVariable`."""
        if not environment.from_:
            return dict(environment.variables)
        known = self._known.get((namespace, revision))
        if known is None:
            return await self._fetch(namespace, revision, environment)
        if time.monotonic() - known[0] > FRESH_S:
            self.prefetch(namespace, revision, environment)
        return known[1]

    def prefetch(self, namespace: str, revision: str, environment: EnvironmentVariables) -> None:
        """Fetches in the background."""
        if not environment.from_:
            return

        async def fetch() -> None:
            try:
                await self._fetch(namespace, revision, environment)
            except (MissingVariable, KubeError) as error:
                log.info("variables in %s: %s", namespace, error)

        task = asyncio.get_running_loop().create_task(fetch())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, namespace: str, revision: str) -> None:
        """Drops the values of a revision that nobody runs any more."""
        self._known.pop((namespace, revision), None)

    async def _fetch(self, namespace: str, revision: str, environment: EnvironmentVariables) -> dict[str, str]:
        values = dict(environment.variables)
        for variable in environment.from_:
            value = await self._value(namespace, variable)
            if value is not None:
                values[variable.name] = value
        self._known[namespace, revision] = (time.monotonic(), values)
        return values

    async def _value(self, namespace: str, variable: VariableSource) -> str | None:
        secret = variable.secret_key_ref
        reference = secret or variable.config_map_key_ref
        if reference is None:
            return None
        resource = SECRETS if secret else CONFIG_MAPS
        try:
            data = (await self._client.get(resource, reference.name, namespace)).get("data") or {}
        except NotFound:
            data = {}
        value = data.get(reference.key)
        if value is None:
            if reference.optional:
                return None
            raise MissingVariable(f"{variable.name}: {resource.kind} {reference.name} has no key {reference.key}")
        return base64.b64decode(value).decode() if secret else str(value)
