"""An installation with a control API, and a caller in each test's namespace."""

from collections.abc import Iterator

import pytest
from tests.integration.control_api.control_api import DOMAIN, Api
from tests.integration.processes import Component, Installation
from tests.integration.stage import Stage

from kubelambda.core.account.identity import account_id
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import NAMESPACES


@pytest.fixture(scope="module")
def serving(stage: Stage) -> tuple[Installation, str]:
    """An installation whose code store, code fetcher, operator and control API run, and the address of the last."""
    return stage.serving(endpointDomain=DOMAIN, codeRetentionSeconds=20)


@pytest.fixture(scope="module")
def poller(serving: tuple[Installation, str]) -> Iterator[Component]:
    """A poller of that installation: no mapping is enabled before it says so."""
    with serving[0].poller() as found:
        yield found


@pytest.fixture
async def api(serving: tuple[Installation, str], client: KubeClient, namespace: str) -> Api:
    """A caller in the test's namespace, once the control API has heard of that."""
    return await _caller(serving[1], client, namespace)


@pytest.fixture
async def guest(serving: tuple[Installation, str], client: KubeClient, other_namespace: str) -> Api:
    """A caller of another account, once the control API has heard of that."""
    return await _caller(serving[1], client, other_namespace)


async def _caller(address: str, client: KubeClient, namespace: str) -> Api:
    uid = (await client.get(NAMESPACES, namespace))["metadata"]["uid"]
    found = Api(address, namespace, account_id(uid))
    found.known()
    return found
