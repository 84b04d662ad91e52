"""Values of environment variables, out of Secrets and ConfigMaps: fetched ahead, so that a cold start need not wait."""

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Callable

from kubelambda.api.kinds.environment_variables import EnvironmentVariables, VariableSource
from kubelambda.frontend.cold_start.account_credentials import with_credentials
from kubelambda.kube.errors import Forbidden, Invalid, KubeError, NotFound
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import CONFIG_MAPS, SECRETS, Resource
from kubelambda.wire.background_tasks import BackgroundTasks

FRESH_S = 60.0
_ROLE_S = 1.0

log = logging.getLogger(__name__)


class VariableUnavailable(Exception):
    """A variable has no value, or one that no process can have; the message names variable, object and key."""


class Variables:
    """The values of each function's variables, at most a minute old, and older only while the API server is away."""

    def __init__(self, client: KubeClient, credentials: Callable[[str], str | None] = lambda _: None) -> None:
        """`credentials`: the Secret of a namespace that has the credentials of its functions."""
        self._client = client
        self._credentials = credentials
        self._known: dict[tuple[str, str], tuple[float, str | None, dict[str, str]]] = {}
        self._tasks = BackgroundTasks()

    async def resolve(self, namespace: str, revision: str, environment: EnvironmentVariables) -> dict[str, str]:
        """All variables. Raises `VariableUnavailable`, or `KubeError` when they cannot be read now."""
        secret = self._credentials(namespace)
        if not environment.from_ and secret is None:
            return dict(environment.variables)
        known = self._known.get((namespace, revision))
        if known is None or known[1] != secret:
            return await self._fetch(namespace, revision, environment)
        if time.monotonic() - known[0] > FRESH_S:
            self.prefetch(namespace, revision, environment)
        return known[2]

    def prefetch(self, namespace: str, revision: str, environment: EnvironmentVariables) -> None:
        """Fetches in the background."""
        if environment.from_ or self._credentials(namespace) is not None:
            self._tasks.start(self._prefetch(namespace, revision, environment))

    def forget(self, namespace: str, revision: str) -> None:
        """Drops the values of a revision that nobody runs any more."""
        self._known.pop((namespace, revision), None)

    async def _prefetch(self, namespace: str, revision: str, environment: EnvironmentVariables) -> None:
        try:
            await self._fetch(namespace, revision, environment)
        except VariableUnavailable as error:
            self.forget(namespace, revision)  # what was there is gone: the next start says so
            log.info("variables in %s: %s", namespace, error)
        except KubeError as error:
            log.info("variables in %s: %s", namespace, error)

    async def _fetch(self, namespace: str, revision: str, environment: EnvironmentVariables) -> dict[str, str]:
        values = dict(environment.variables)
        secret = self._credentials(namespace)
        for variable in with_credentials(environment, secret).from_:
            value = await self._value(namespace, variable)
            if value is not None:
                values[variable.name] = value
        self._known[namespace, revision] = (time.monotonic(), secret, values)
        return values

    async def _get(self, resource: Resource, name: str, namespace: str) -> Object:
        try:
            return await self._client.get(resource, name, namespace)
        except Forbidden:  # in a namespace that is new to us our role may only be on its way
            await asyncio.sleep(_ROLE_S)
            return await self._client.get(resource, name, namespace)

    async def _value(self, namespace: str, variable: VariableSource) -> str | None:
        secret = variable.secret_key_ref
        reference = secret or variable.config_map_key_ref
        if reference is None:
            return None
        resource = SECRETS if secret else CONFIG_MAPS
        where = f"{variable.name}: {resource.kind} {reference.name}"
        try:
            found = await self._get(resource, reference.name, namespace)
        except NotFound:
            found = {}
        except (Forbidden, Invalid) as error:
            raise VariableUnavailable(f"{where} cannot be read: {error}") from error
        value = (found.get("data") or {}).get(reference.key)
        if value is not None:
            return _decoded(value, f"{where}, key {reference.key}") if secret else str(value)
        if reference.key in (found.get("binaryData") or {}):
            raise VariableUnavailable(f"{where} has key {reference.key} in its binaryData: a variable is text")
        if reference.optional:
            return None
        raise VariableUnavailable(_missing(where, reference.key, found))


def _missing(where: str, key: str, found: Object) -> str:
    return f"{where} has no key {key}" if found else f"{where} does not exist"


def _decoded(value: str, where: str) -> str:
    try:
        text = base64.b64decode(value).decode()
    except (UnicodeDecodeError, binascii.Error) as error:
        raise VariableUnavailable(f"{where}: the value is no UTF-8 text") from error
    if "\0" in text:
        raise VariableUnavailable(f"{where}: the value has a NUL character, which no variable can have")
    return text
