"""Which mappings a poller works: each has one owner among those that are ready, by rendezvous hashing."""

from collections.abc import Callable
from typing import Any

from kubelambda.core.account.ownership import ranked
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.reflector import Reflector
from kubelambda.kube.resources import ENDPOINT_SLICES


class PollerShare:
    """The share of the poller at `address` among those behind `service`. `changed` is told when it is another."""

    def __init__(
        self, client: KubeClient, namespace: str, service: str, address: str, changed: Callable[[], None]
    ) -> None:
        self._address = address
        self.reflector = Reflector(
            client,
            ENDPOINT_SLICES,
            ready_pollers,
            on_change=lambda *_: changed(),
            namespace=namespace,
            label_selector=f"kubernetes.io/service-name={service}",
        )

    def owns(self, mapping_uid: str) -> bool:
        """Whether a mapping is this poller's: nothing is until it is known to be ready."""
        members = frozenset[str]().union(*self.reflector.items.values())
        return self._address in members and ranked(mapping_uid, members)[0] == self._address


def ready_pollers(body: dict[str, Any]) -> frozenset[str]:
    """Addresses of the ready endpoints of an EndpointSlice."""
    return frozenset(
        address
        for endpoint in body.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready")
        for address in endpoint["addresses"]
    )
