"""What a frontend knows that has just started, and reaches no API server."""

from collections.abc import Callable

from kubelambda.frontend.cluster.caches import Caches
from kubelambda.kube.api_server import Server
from kubelambda.kube.kube_client import KubeClient


async def anonymous() -> dict[str, str]:
    """No credentials."""
    return {}


def nothing(*_: object) -> None:
    """Takes whatever it is told."""


def nowhere() -> KubeClient:
    """A client that nobody answers."""
    return KubeClient(Server("http://127.0.0.1:9", None, anonymous))


def empty_caches(client: KubeClient, on_members: Callable[[], None] = nothing) -> Caches:
    """Caches that have seen nothing."""
    return Caches(
        client,
        system_namespace="system",
        service="frontend",
        control_api_service="control-api",
        on_function=nothing,
        on_pod=nothing,
        on_namespace=nothing,
        on_published=nothing,
        on_members=on_members,
        on_endpoints=nothing,
    )
