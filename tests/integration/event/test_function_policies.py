"""How events are retried is read from Functions; what a cache has not seen yet is asked of the API server."""

import asyncio
from typing import Any

import pytest
from tests.deployed import DEPLOYED
from tests.eventually import eventually
from tests.integration.control_plane import ControlPlane
from tests.integration.frontend.late_caches import hear
from tests.integration.functions import Functions

from kubelambda.core.event.delivery import RetryPolicy
from kubelambda.events.function_policies import FunctionPolicies
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import ALIASES, FUNCTION_VERSIONS, FUNCTIONS, Resource

DEAD = "arn:aws:sqs:us-east-1:123456789012:dead"
NEVER = {"maximumRetryAttempts": 0}
BURIED = {**DEPLOYED, "deadLetterTarget": DEAD}


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


async def make(client: KubeClient, resource: Resource, namespace: str, name: str, /, **spec: Any) -> Object:
    """An object of a function, as its user or the control API leaves it."""
    manifest = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "spec": spec}
    return await client.create(resource, manifest, namespace)


async def lead(client: KubeClient, resource: Resource, namespace: str, name: str, **status: Any) -> Object:
    """What the operator says of it."""
    return await client.patch(resource, name, {"status": status}, namespace, subresource="status")


async def test_an_alias_and_its_version_that_the_cache_has_not_seen_say_how_their_events_end(
    client: KubeClient, functions: Functions
) -> None:
    """Made a moment ago: their events are neither tried by the defaults nor buried nowhere."""
    space = functions.namespace
    functions.apply("made")
    policies = FunctionPolicies(client)
    await make(client, FUNCTION_VERSIONS, space, "made-1", functionName="made", eventInvokeConfig=NEVER)
    await lead(client, FUNCTION_VERSIONS, space, "made-1", version="1", deployed=BURIED)
    ends = {"destinationConfig": {"onFailure": {"destination": "sink"}}}
    live = {"functionName": "made", "name": "live", "functionVersion": "1"}
    await make(client, ALIASES, space, "made-live", **live, eventInvokeConfig=NEVER | ends)
    await lead(client, ALIASES, space, "made-live", routedVersion="1")
    version, alias = [await policies.of(space, "made", qualifier) for qualifier in ("1", "live")]
    assert version is not None
    assert (version.retry.maximum_retry_attempts, version.dead_letter) == (0, DEAD)
    assert alias is not None
    assert (alias.retry.maximum_retry_attempts, alias.on_failure, alias.dead_letter) == (0, "sink", DEAD)
    other = await policies.of(space, "made", "other")
    assert other is not None
    assert (other.retry, other.dead_letter) == (RetryPolicy(), None)


async def test_what_the_cache_knows_from_before_it_was_deployed_is_asked_for(
    client: KubeClient, functions: Functions
) -> None:
    """Nobody accepts an event for such a function or alias: it is deployed, and leads somewhere, by now."""
    space = functions.namespace
    functions.apply("late")
    policies = FunctionPolicies(client)
    pending = {**await client.get(FUNCTIONS, "late", space), "status": {}}
    hear(policies._functions, pending)
    await lead(client, FUNCTIONS, space, "late", deployed=BURIED)
    live = {"functionName": "late", "name": "live", "functionVersion": "$LATEST"}
    hear(policies._aliases, await make(client, ALIASES, space, "late-live", **live))
    await lead(client, ALIASES, space, "late-live", routedVersion="$LATEST")
    found = [await policies.of(space, "late", qualifier) for qualifier in ("", "live")]
    assert [policy and policy.dead_letter for policy in found] == [DEAD, DEAD]


async def test_a_version_that_says_nothing_of_events_is_asked_for_once(
    client: KubeClient, functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache keeps nothing of it, however many events it gets; what it says later counts."""
    space = functions.namespace
    functions.apply("quiet")
    await make(client, FUNCTION_VERSIONS, space, "quiet-1", functionName="quiet")
    body = await lead(client, FUNCTION_VERSIONS, space, "quiet-1", version="1", deployed=DEPLOYED)
    asked, each = [], client.each

    def counted(resource: Resource, *where: Any, **how: Any) -> Any:
        asked.append(resource)
        return each(resource, *where, **how)

    monkeypatch.setattr(client, "each", counted)
    policies = FunctionPolicies(client)
    found = [await policies.of(space, "quiet", "1") for _ in range(3)]
    assert [policy and policy.retry for policy in found] == [RetryPolicy()] * 3
    assert asked == [FUNCTION_VERSIONS]
    hear(policies._versions, {**body, "spec": {**body["spec"], "eventInvokeConfig": NEVER}})
    changed = await policies.of(space, "quiet", "1")
    assert changed is not None
    assert changed.retry.maximum_retry_attempts == 0


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
        await asyncio.wait_for(policies.synced(), 90)
        found = [await policies.of(functions.namespace, "qualified", qualifier) for qualifier in ("", "live", "plain")]
    finally:
        running.cancel()
    assert [policy.retry.maximum_retry_attempts for policy in found if policy is not None] == [0, 1, 2]
    assert not any(policy.loops_end for policy in found if policy is not None)


async def test_of_two_objects_of_an_alias_the_first_one_says_how_its_events_are_retried(
    client: KubeClient, functions: Functions
) -> None:
    """What comes second changes nothing, and takes nothing with it when it goes."""
    functions.apply("twice")
    policies = FunctionPolicies(client)
    running = asyncio.create_task(policies.run())

    async def attempts(alias: str) -> int:
        found = await policies.of(functions.namespace, "twice", alias)
        assert found is not None
        return found.retry.maximum_retry_attempts

    async def make(name: str, alias: str, number: int, *, routed: bool) -> None:
        spec: Object = {"functionName": "twice", "name": alias, "functionVersion": "$LATEST"}
        spec["eventInvokeConfig"] = {"maximumRetryAttempts": number}
        manifest = {"apiVersion": ALIASES.api_version, "kind": "Alias", "metadata": {"name": name}, "spec": spec}
        await client.create(ALIASES, manifest, functions.namespace)
        if routed:
            status = {"status": {"routedVersion": "$LATEST"}}
            await client.patch(ALIASES, name, status, functions.namespace, subresource="status")

    async def seen(marker: str) -> None:
        """What was done before is seen when a marker is."""
        await make(marker, marker, 1, routed=False)

        async def there() -> bool:
            return await attempts(marker) == 1

        await eventually(there)

    try:
        await asyncio.wait_for(policies.synced(), 90)
        await make("first", "live", 0, routed=True)
        await make("a-second", "live", 1, routed=False)
        await seen("one")
        assert await attempts("live") == 0
        await client.delete(ALIASES, "a-second", functions.namespace)
        await seen("two")
        assert await attempts("live") == 0
    finally:
        running.cancel()


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
