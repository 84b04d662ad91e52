"""Frontends in front of two replicas of the control API, which count the calls of an account together (§0.6)."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from tests.eventually import eventually
from tests.integration.control_api.control_api import DOMAIN, Answered, Api
from tests.integration.control_plane import SYSTEM_NAMESPACE, ControlPlane
from tests.integration.loopback import Cluster
from tests.integration.processes import Component, Installation

from kubelambda.core.account import ownership

RATES = {"others": 0, "getFunction": 0, "getPolicy": 0.001}
"""One GetPolicy, and the next in a quarter of an hour; of everything else as much as one likes."""


@dataclass
class Replica:
    """A control API and where it is."""

    component: Component
    port: int

    @property
    def name(self) -> str:
        """What accounts are ranked by."""
        return f"127.0.0.1:{self.port}"


@pytest.fixture
def replicas(tmp_path_factory: pytest.TempPathFactory, control_plane: ControlPlane) -> Iterator[list[Replica]]:
    """Two of them."""
    folder = tmp_path_factory.mktemp("replicas")
    found = Installation(folder, control_plane, SYSTEM_NAMESPACE, endpointDomain=DOMAIN, controlApiRates=RATES)
    started = [found.control_api() for _ in range(2)]
    yield [Replica(component, urlsplit(address).port or 0) for component, address in started]
    found.stop()


async def frontend(cluster: Cluster, address: str, replicas: list[Replica]) -> str:
    """Starts a frontend that has heard of the replicas; returns where it is."""
    cluster.settings = {"endpoint_domain": DOMAIN, "control_api_url": "http://127.0.0.1:9"}
    found = await cluster.frontend(address)
    # Kubernetes allows no loopback addresses in an EndpointSlice.
    found.caches.control_apis.items[SYSTEM_NAMESPACE, "slice"] = frozenset(
        ("127.0.0.1", each.port) for each in replicas
    )
    return f"http://{address}:{cluster.port}"


async def policy(address: str, namespace: str) -> int:
    """The status of one GetPolicy on a connection of its own; 404 is that of one that was let in."""
    return (await asyncio.to_thread(Api(address, namespace, "").function, "GET", "f", "/policy")).status


async def known(address: str, namespace: str, replicas: list[Replica]) -> None:
    """Returns once every replica knows an account, and a frontend passes its calls on."""
    for each in (address, *(f"http://{replica.name}" for replica in replicas)):
        api = Api(each, namespace, "")

        async def answered(api: Api = api) -> Answered | None:
            found = await asyncio.to_thread(api.call, "GET", "/2016-08-19/account-settings")
            return found if found.status == 200 else None

        await eventually(answered)


async def test_replicas_count_the_calls_of_an_account_together(
    cluster: Cluster, other_namespace: str, replicas: list[Replica]
) -> None:
    """Whichever frontend they come to, over however many connections; another account has a rate of its own.

    The other replica takes over from one that is gone, before Kubernetes has seen that: reads, writes and uploads. It
    counts anew.
    """
    addresses = [await frontend(cluster, address, replicas) for address in ("127.0.1.1", "127.0.1.2")]
    for namespace in (cluster.namespace, other_namespace):
        await known(addresses[0], namespace, replicas)
        statuses = [await policy(address, namespace) for address in addresses * 2]
        assert statuses == [404, 429, 429, 429]

    owner = ownership.ranked(cluster.namespace, [each.name for each in replicas])[0]
    next(each for each in replicas if each.name == owner).component.kill()
    assert [await policy(address, cluster.namespace) for address in addresses * 2] == [404, 429, 429, 429]
    api = Api(addresses[0], cluster.namespace, "")
    assert (await asyncio.to_thread(api.call, "GET", "/2016-08-19/account-settings")).status == 200
    for body in (b"{}", b"{" + b" " * 200_000 + b"}"):
        assert (await asyncio.to_thread(api.call, "POST", "/2015-03-31/functions", body)).error == "ValidationException"
