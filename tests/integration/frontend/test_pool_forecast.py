"""Pools that grow ahead of what they needed at this hour of the last days, and remember it at their Deployments."""

import time

import pytest
from tests.eventually import eventually
from tests.integration.loopback import RUNTIME, RUNTIME_NAME, Cluster

from kubelambda.api import labels
from kubelambda.api.settings import EnvironmentSettings
from kubelambda.core.environment.pool_identity import PoolIdentity
from kubelambda.core.pool.pool_forecast import DemandPattern, parse_pattern
from kubelambda.frontend.account import pool_patterns
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import DEPLOYMENTS
from kubelambda.resources.pool_deployment import pool_deployment, pool_name

DAY = 86_400
NAME = pool_name(RUNTIME_NAME)


async def make_pool(cluster: Cluster, demand: str) -> None:
    """The Deployment as the operator makes it, with what an earlier owner of the namespace wrote down."""
    pool, settings = PoolIdentity(RUNTIME_NAME), EnvironmentSettings()
    manifest = pool_deployment(
        cluster.namespace, pool, "1" * 8, RUNTIME, settings, size=RUNTIME.pool.size, token_sha256="0" * 64
    )
    manifest["metadata"] |= {"annotations": {labels.POOL_DEMAND: demand}, "ownerReferences": []}
    await cluster.client.create(DEPLOYMENTS, manifest, cluster.namespace)


async def found(cluster: Cluster) -> Object:
    """It, as it is now."""
    return await cluster.client.get(DEPLOYMENTS, NAME, cluster.namespace)


async def test_a_pool_has_what_it_needed_at_this_hour_on_the_last_days(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anybody calls; what it needs today is written down beside that, for whoever owns the namespace next."""
    monkeypatch.setattr(pool_patterns, "WRITE_S", 0.5)
    pattern, now = DemandPattern(), time.time()
    for ago in (4, 3, 2):  # an hour after this time of yesterday may be today, of which nothing is known yet
        for hour in (0, 3600):
            pattern.observe(now - ago * DAY + hour, 4)
    await make_pool(cluster, pattern.text())
    await cluster.frontend(pool_forecast=True)

    async def grown() -> bool:
        return bool((await found(cluster))["spec"]["replicas"] == RUNTIME.pool.size + 4)

    await eventually(grown)

    async def written() -> bool:
        text = (await found(cluster))["metadata"]["annotations"][labels.POOL_DEMAND]
        return len(parse_pattern(text)._days) > len(pattern._days)

    await eventually(written)


async def test_without_the_value_a_pool_follows_its_claims_alone(cluster: Cluster) -> None:
    """Whatever is written at it."""
    pattern, now = DemandPattern(), time.time()
    for ago in (3, 2, 1):
        pattern.observe(now - ago * DAY, 4)
    await make_pool(cluster, pattern.text())
    frontend = await cluster.frontend()
    await frontend._pools.resize()
    assert (await found(cluster))["spec"]["replicas"] == RUNTIME.pool.size
