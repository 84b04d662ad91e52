"""How events are retried is read from Functions; what a cache has not seen yet is asked of the API server."""

import asyncio
from typing import Any

import pytest
from tests.integration.control_plane import ControlPlane
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


async def test_each_qualifier_has_its_own_policy_and_none_inherits(
    client: KubeClient, functions: Functions, control_plane: ControlPlane
) -> None:
    """An alias is told nothing of the function's; loops and reserved concurrency are the whole function's."""
    mine, theirs = ({"maximumRetryAttempts": number} for number in (0, 1))
    functions.apply("qualified", eventInvokeConfig=mine, recursiveLoop="Allow")
    alias = {"functionName": "qualified", "name": "live", "functionVersion": "$LATEST", "eventInvokeConfig": theirs}
    plain = {"functionName": "qualified", "name": "plain", "functionVersion": "$LATEST"}
    for name, spec in (("qualified-live", alias), ("qualified-plain", plain)):
        metadata = {"name": name, "namespace": functions.namespace}
        made = {"apiVersion": "kubelambda.dev/v1alpha1", "kind": "Alias", "metadata": metadata, "spec": spec}
        assert control_plane.apply([made]).returncode == 0
    policies = FunctionPolicies(client)
    running = asyncio.create_task(policies.run())
    try:
        await asyncio.wait_for(policies.synced(), 30)
        found = [await policies.of(functions.namespace, "qualified", qualifier) for qualifier in ("", "live", "plain")]
    finally:
        running.cancel()
    assert [policy.retry.maximum_retry_attempts for policy in found if policy is not None] == [0, 1, 2]
    assert not any(policy.loops_end for policy in found if policy is not None)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({}, "give either aws or http"),
        ({"aws": {}}, "give either arn or services"),
        ({"aws": {"arn": "arn:aws:sqs:us-east-1:123456789012:q", "services": ["sqs"]}}, "give either arn or services"),
        ({"aws": {"services": ["sqs"]}, "http": {"url": "http://sink"}}, "give either aws or http"),
        ({"http": {"url": "ftp://sink"}}, "spec.http.url"),
    ],
)
def test_a_target_that_leads_nowhere_is_refused(control_plane: ControlPlane, spec: dict[str, Any], why: str) -> None:
    """By the API server, in words."""
    metadata = {"name": "bad", "namespace": "default"}
    made = {"apiVersion": "kubelambda.dev/v1alpha1", "kind": "EventTarget", "metadata": metadata, "spec": spec}
    applied = control_plane.apply([made])
    assert applied.returncode != 0
    assert why in applied.stderr
