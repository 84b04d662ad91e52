"""Handing a function over to the agent of a pod (`docs/environment-protocol.md`, /specialize)."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from kubelambda.api import environment_protocol, limits
from kubelambda.api.environment_protocol import ArchiveReference, Specialization
from kubelambda.api.settings import Settings
from kubelambda.core.account import identity
from kubelambda.core.environment import tokens
from kubelambda.core.invoke import invoke_error
from kubelambda.frontend.cold_start.archive_cache import Archives
from kubelambda.frontend.cold_start.start import (
    InitFailure,
    NotStarted,
    Started,
    StartFailed,
    Taken,
    Target,
    Watcher,
)
from kubelambda.frontend.cold_start.variable_values import Variables, VariableUnavailable
from kubelambda.kube.errors import KubeError
from kubelambda.store.code.code_store import CodeStoreUnavailable
from kubelambda.wire.client import ClientConnection, connect, request_head

_DIAL_PAUSE_S = 0.02
_DIAL_S = 0.1
"""A packet to an address that is not wired yet is lost without a word, and TCP repeats it only after a second."""
_SPECIALIZE_S = 130.0
_UNPACKING_S = 30.0
"""On top of a long INIT."""
_UNKNOWN: Final = (404, 413)
"""What an agent answers to a request that it does not know: 413 to its body."""
PROVISIONED: Final = "provisioned-concurrency"


@dataclass(frozen=True, slots=True)
class AgentAddress:
    """A pod whose agent can be spoken to."""

    name: str
    uid: str
    ip: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a pod is told: all of it is here before a pod is taken or made."""

    along: bytes
    """The small archives, one after the other in the order of the message."""
    urls: tuple[str | None, ...]
    """Addresses of the code and of each layer; None for one that comes along."""
    variables: dict[str, str]


class Specializer:
    """Speaks to the agents of pods that belong to nobody yet."""

    def __init__(self, archives: Archives, variables: Variables, key: bytes, settings: Settings) -> None:
        self._archives = archives
        self._variables = variables
        self._key = key
        self._settings = settings

    async def prepare(self, target: Target) -> Prepared:
        """What has to be fetched. Raises `NotStarted`, or `StartFailed` when the function lacks something."""
        configuration = target.configuration
        try:
            archives = await asyncio.gather(
                *(self._archives.get(target.namespace, each) for each in configuration.archives)
            )
            variables = await self._variables.resolve(
                target.namespace, configuration.revision, configuration.environment
            )
        except VariableUnavailable as error:
            raise _unusable(str(error)) from error
        except (CodeStoreUnavailable, KubeError) as error:
            raise NotStarted(str(error)) from error
        along = b"".join(data for data, _ in archives)
        return Prepared(along, tuple(url for _, url in archives), variables)

    async def dial(self, ip: str, seconds: float, look: Callable[[], None] = lambda: None) -> None:
        """Returns once the agent listens; quicker to notice than any readiness probe. Raises `TimeoutError`.

        `look` is called between two tries, and may raise to end them.
        """
        async with asyncio.timeout(seconds):
            while True:
                try:
                    connection = await connect(ip, environment_protocol.CONTROL_PORT, lambda _: None, _DIAL_S)
                except (OSError, TimeoutError):
                    look()
                    await asyncio.sleep(_DIAL_PAUSE_S)
                    continue
                connection.close()
                return

    async def specialize(self, target: Target, prepared: Prepared, pod: AgentAddress, watcher: Watcher) -> Started:
        """An environment that is ready. Raises `NotStarted`, `Taken`, or `StartFailed` when INIT failed."""
        head, body = self._handover(environment_protocol.SPECIALIZE, target, prepared, pod)
        connection = await _connected(pod, watcher)
        status, answer = await _called(connection, pod, head, body, _longest(target))
        with _closing_on_error(connection):
            _check(target, pod.name, status, answer)
        return Started(pod.name, pod.uid, tokens.environment_token(self._key, pod.uid), connection)

    async def hand_over(self, target: Target, prepared: Prepared, pod: AgentAddress, watcher: Watcher) -> "HandedOver":
        """A pod that is the function's and nobody else's, and runs none of its code yet. Raises `NotStarted`, `Taken`.

        One whose agent is of a release that knows no `/prepare` gets everything in one, and only with `begin`.
        """
        token = tokens.environment_token(self._key, pod.uid)
        head, body = self._handover(environment_protocol.PREPARE, target, prepared, pod)
        connection = await _connected(pod, watcher)
        status, answer = await _called(connection, pod, head, body, _longest(target))
        if status in _UNKNOWN:
            connection.close()
            return HandedOver(False, lambda: self.specialize(target, prepared, pod, watcher), lambda: None)
        with _closing_on_error(connection):
            _check(target, pod.name, status, answer)

        async def begin() -> Started:
            headers = {"Authorization": f"Bearer {token}"}
            head = request_head("POST", environment_protocol.BEGIN, pod.ip, headers, 0)
            status, answer = await _called(connection, pod, head, b"", _longest(target))
            with _closing_on_error(connection):
                try:
                    _check(target, pod.name, status, answer)
                except Taken as error:  # by nobody else: it drains
                    raise NotStarted(str(error)) from error
            return Started(pod.name, pod.uid, token, connection)

        return HandedOver(True, begin, connection.close)

    def _handover(self, path: str, target: Target, prepared: Prepared, pod: AgentAddress) -> tuple[bytes, bytes]:
        token = tokens.environment_token(self._key, pod.uid)
        config = _message(target, token, prepared, self._settings).encode()
        headers = {
            "Authorization": f"Bearer {tokens.pool_token(self._key, target.namespace)}",
            environment_protocol.CONFIG_LENGTH: len(config),
            environment_protocol.TERM: target.term,
        }
        head = request_head("POST", path, pod.ip, headers, len(config) + len(prepared.along))
        return head, config + prepared.along


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A pod that has been told its function, which may not begin yet."""

    ours: bool
    """Whether its agent refuses every other function from now on."""
    begin: Callable[[], Awaitable[Started]]
    """Lets the function begin, and returns when INIT is over. Raises as `Specializer.specialize`."""
    give_up: Callable[[], None]
    """The function will not begin."""


async def _connected(pod: AgentAddress, watcher: Watcher) -> ClientConnection:
    try:
        return await connect(pod.ip, environment_protocol.CONTROL_PORT, watcher.lost)
    except (OSError, TimeoutError) as error:
        raise NotStarted(f"pod {pod.name} cannot be reached: {error or type(error).__name__}") from error


async def _called(
    connection: ClientConnection, pod: AgentAddress, head: bytes, body: bytes, seconds: float
) -> tuple[int, bytes]:
    """Status and body of an answer; without one the connection is closed."""
    with _closing_on_error(connection):
        try:
            status, _, answer = await connection.call(head, body, seconds=seconds)
        except (OSError, TimeoutError) as error:
            raise NotStarted(f"pod {pod.name} does not answer: {error or type(error).__name__}") from error
    return status, answer


@contextmanager
def _closing_on_error(connection: ClientConnection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _longest(target: Target) -> float:
    """How long code and INIT of a function may take, in seconds."""
    return max(_SPECIALIZE_S, _init_timeout(target) + _UNPACKING_S)


def _init_timeout(target: Target) -> float:
    """How long INIT may take: 10 s, or for provisioned environments as long as an invocation, 130 s at least (§3.3)."""
    if target.initialization_type == PROVISIONED:
        return max(limits.PROVISIONED_INIT_TIMEOUT_S, float(target.configuration.timeout))
    return limits.INIT_TIMEOUT_S


def _check(target: Target, pod: str, status: int, body: bytes) -> None:
    """Returns when the environment can be used."""
    if status == 409:
        raise Taken(f"pod {pod} is taken")
    try:
        answer = json.loads(body)
        if status == 200 and answer["status"] == "init-error":
            raise StartFailed(InitFailure(answer["error"], base64.b64decode(answer.get("log", ""))))
        if status == 200 and answer["status"] == "init-timeout" and target.initialization_type == PROVISIONED:
            # On demand the first invocation runs INIT again. Here nobody waits for it: it has to be over before.
            raise StartFailed(
                InitFailure({"errorType": "Runtime.InitError", "errorMessage": "INIT timed out, or its process ended"})
            )
        if status == 400:
            raise _unusable(answer["message"])
    except (ValueError, KeyError, TypeError):
        status = status if status != 200 else 502
    if status != 200:
        raise NotStarted(f"pod {pod} answered {status}: {body[:300].decode(errors='replace')}")


def _unusable(why: str) -> StartFailed:
    return StartFailed(invoke_error.not_ready(f"The function cannot start: {why}"))


def _message(target: Target, token: str, prepared: Prepared, settings: Settings) -> Specialization:
    found = target.configuration
    name = found.function_name or target.name
    archives = [
        ArchiveReference(archive.sha256, archive.size, url)
        for archive, url in zip(found.archives, prepared.urls, strict=True)
    ]
    image = found.image
    code, layers = (None, archives) if image else (archives[0], archives[1:])
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
        code=code,
        layers=tuple(layers),
        initialization_type=target.initialization_type,
        init_timeout=_init_timeout(target),
        billing_increment_ms=settings.billing_increment_ms,
        variables=prepared.variables,
        command=image.arguments if image else (),
        working_directory=image.folder if image else "",
    )
