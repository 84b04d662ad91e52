"""The status of a Runtime out of its functions and pools."""

from datetime import UTC, datetime

from kubelambda.api.kinds.runtime import RuntimeStatus
from kubelambda.core.pool.runtime_status import PoolFacts, decide

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def decided(*pools: PoolFacts) -> RuntimeStatus:
    """The status with `pools`."""
    return decide(name="ruby3.3", generation=3, before=RuntimeStatus(), functions=7, pools=pools, now=NOW)


def test_counts() -> None:
    """Functions, pools, and idle environments of all pools."""
    status = decided(PoolFacts("a", 2), PoolFacts("b", 1))
    assert (status.functions, status.pools, status.idle, status.observed_generation) == (7, 2, 3, 3)
    assert [(c.type, c.status, c.reason) for c in status.conditions] == [("Ready", "True", "Available")]


def test_a_pool_that_cannot_start_is_named() -> None:
    """With the Deployment's own words."""
    status = decided(PoolFacts("b", 0), PoolFacts("a", 0, "exceeded quota"))
    (ready,) = status.conditions
    assert (ready.status, ready.reason) == ("False", "PoolFailing")
    assert ready.message == "environments do not start in a: exceeded quota"


def test_of_pods_that_are_not_ready_it_says_where_the_reason_is() -> None:
    """A Deployment knows only that it waited: what an image that cannot be pulled says, its pod knows."""
    (ready,) = decided(PoolFacts("shop", 0, "ReplicaSet x has timed out progressing.", has_pods=True)).conditions
    assert ready.message.endswith(
        "timed out progressing. See why: kubectl describe pods --namespace shop"
        " --selector kubelambda.dev/pool,kubelambda.dev/runtime=ruby3.3"
    )


def test_many_failing_pools_are_counted() -> None:
    """The message stays short."""
    (ready,) = decided(*(PoolFacts(name, 0, "no") for name in "edcba")).conditions
    assert ready.message == "environments do not start in a, b, c and 2 more: no"


def test_what_functions_say_of_their_pool_stays_the_same_while_it_does_not_fill() -> None:
    """Each attempt has another pod's name in a refusal; where that is read, is said. Such a pool may be at work."""
    stuck = PoolFacts("shop", 0, "ReplicaSet x has timed out progressing.", has_pods=True).failure("ruby3.3")
    assert stuck is not None
    assert stuck.exhausted
    assert stuck.message == (
        "environments of Runtime ruby3.3 do not start: ReplicaSet x has timed out progressing. See why: kubectl"
        " describe pods --namespace shop --selector kubelambda.dev/pool,kubelambda.dev/runtime=ruby3.3"
    )
    refused = [PoolFacts("shop", 0, f'pods "p-{n}" is forbidden: exceeded quota').failure("ruby3.3") for n in "ab"]
    assert refused[0] == refused[1]
    assert refused[0] is not None
    assert not refused[0].exhausted
    assert "See why: kubectl describe deployments --namespace shop" in refused[0].message
    left = PoolFacts("shop", 1, "timed out", has_pods=True).failure("ruby3.3")
    assert left is not None
    assert not left.exhausted
    assert PoolFacts("shop", 0).failure("ruby3.3") is None
