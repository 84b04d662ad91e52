"""Opening a pod that was born closed for what its function's security groups allow (`docs/decisions/0012`)."""

import asyncio
from collections.abc import Callable

from kubelambda.api import environment_protocol
from kubelambda.api.settings import NetworkSettings
from kubelambda.frontend.cold_start.specializer import AgentAddress
from kubelambda.frontend.cold_start.start import NotStarted, Target
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import PODS
from kubelambda.resources import environment_pod as rendering
from kubelambda.wire.client import connect, request_head

_LOOK_S = 0.1
_ANSWER_S = 5.0


class NetworkJoining:
    """Of pods that are no pool's: a pool pod is ready only once it is closed, and its claim opens it."""

    def __init__(self, client: KubeClient, settings: NetworkSettings) -> None:
        self._client = client
        self._settings = settings

    async def join(
        self, target: Target, pod: AgentAddress, seconds: float, look: Callable[[], None] = lambda: None
    ) -> None:
        """Returns once a pod takes a function, and is opened if it was closed: before anything of a user runs in it.

        It may take `seconds` until it finds itself closed and its function's image is there; `look` is called between
        two tries, and may raise to end them. Raises `NotStarted`.
        """
        found = rendering.network_labels(target.configuration)
        if found or target.configuration.image:
            await self._claimable(pod, seconds, look)
        if not found:
            return
        try:
            await self._client.patch(PODS, pod.name, {"metadata": {"labels": found}}, target.namespace)
        except KubeError as error:
            raise NotStarted(f"pod {pod.name} cannot join its network: {error}") from error
        await asyncio.sleep(self._settings.opening_seconds)

    async def _claimable(self, pod: AgentAddress, seconds: float, look: Callable[[], None]) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while (why := await _obstacle(pod)) is not None:
            if asyncio.get_running_loop().time() >= deadline:
                raise NotStarted(f"pod {pod.name} takes no function: {why}")
            look()
            await asyncio.sleep(_LOOK_S)


async def _obstacle(pod: AgentAddress) -> str | None:
    """Why a pod takes no function yet; None when it does."""
    try:
        connection = await connect(pod.ip, environment_protocol.CONTROL_PORT, lambda _: None)
        try:
            async with asyncio.timeout(_ANSWER_S):
                status, _, body = await connection.call(
                    request_head("GET", environment_protocol.CLAIMABLE, pod.ip, {}, 0), b""
                )
        finally:
            connection.close()
    except (OSError, TimeoutError) as error:
        return f"it does not answer: {error or type(error).__name__}"
    return None if status == 200 else body.decode(errors="replace")
