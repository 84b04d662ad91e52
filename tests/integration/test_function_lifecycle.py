"""The life of a Function, seen through its status: the real operator, code store and API server (§1.4)."""

from tests.integration.conftest import Functions
from tests.integration.processes import Installation

from kubelambda.kube.resources import DEPLOYMENTS, NETWORK_POLICIES


async def test_a_function_becomes_active_and_gets_a_pool(running: Installation, functions: Functions) -> None:
    """Code published, snapshot written, pool and policy made."""
    functions.apply("hello")
    await functions.ready("hello")
    await functions.client.get(DEPLOYMENTS, "kubelambda-pool-python3-13", functions.namespace)
    await functions.client.get(NETWORK_POLICIES, "kubelambda-environments", functions.namespace)
