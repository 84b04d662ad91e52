"""How events are retried is read from Functions; what a cache has not seen yet is asked of the API server."""

from tests.integration.functions import Functions

from kubelambda.core.event.delivery import RetryPolicy
from kubelambda.events.function_policies import FunctionPolicies
from kubelambda.kube.kube_client import KubeClient


async def test_a_function_that_the_cache_has_not_seen_is_not_taken_for_gone(
    client: KubeClient, functions: Functions
) -> None:
    """Made a moment ago: its events are neither dropped nor tried by other rules than its own."""
    functions.apply("young", eventInvokeConfig={"maximumRetryAttempts": 0, "maximumEventAgeInSeconds": 60})
    policies = FunctionPolicies(client)
    found = await policies.of(functions.namespace, "young")
    assert found is not None
    assert found.retry == RetryPolicy(0, 60.0)
    assert await policies.of(functions.namespace, "never") is None
