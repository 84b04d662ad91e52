"""Which pool can serve a function, decided by what a pod cannot change any more."""

from typing import Any

import pytest

from kubelambda.api.kinds.deployed_configuration import DeployedCode, DeployedConfiguration
from kubelambda.api.kinds.function_mounts import DeployedFileSystem
from kubelambda.api.kinds.vpc_config import DeployedNetwork
from kubelambda.core.environment.pool_identity import PoolIdentity, is_shaped
from kubelambda.core.environment.shape import (
    GENERIC,
    Shape,
    configured_shape,
    deployed_shape,
    function_shape,
    looks_generic,
)
from kubelambda.core.environment.start_plan import PodSource, start_plan

FILES = DeployedFileSystem(access_point="files", claim="data", mount_path="/mnt/data", secondary_gids=(7,))
NETWORK = DeployedNetwork(set="0" * 12, subnets=["a"], security_groups=["app"], zones=["zone-b", "zone-a"])
CONFIGURATION = DeployedConfiguration(
    revision="0123456789abcdef",
    runtime="python3.13",
    handler="index.handler",
    code=DeployedCode(sha256="0" * 64, size=1),
    memory_size=128,
    timeout=3,
    log_group="/aws/lambda/hello",
)


def test_everything_else_comes_with_the_claim() -> None:
    """A function that asks for nothing special has the shape of every pool pod."""
    assert function_shape(0) is function_shape(512) is GENERIC
    assert GENERIC.id == ""


@pytest.mark.parametrize(
    "shape",
    [
        Shape(ephemeral_storage_mb=513),
        Shape(file_systems=(FILES,)),
        Shape(file_systems=(FILES.model_copy(update={"uid": 1001}),)),
        Shape(closed=True),
        Shape(closed=True, zones=("zone-a",)),
    ],
)
def test_whatever_is_fixed_with_the_pod_makes_a_shape_of_its_own(shape: Shape) -> None:
    """Its id tells it from all others, and its pool has a name that is a label's value and no runtime's."""
    assert not shape.generic
    assert shape.id not in {Shape(ephemeral_storage_mb=514).id, ""}
    pools = {PoolIdentity(runtime, found).id for runtime in ("python3.13", "r" * 63) for found in (shape, GENERIC)}
    assert len(pools) == 4
    assert all(len(pool) <= 63 for pool in pools)
    assert is_shaped(PoolIdentity("python3.13", shape).id)
    assert not is_shaped(PoolIdentity("python3.13").id)


def test_functions_of_different_groups_share_a_shape() -> None:
    """What opens is said by the claim; the zones of the subnets are the pod's."""
    other = NETWORK.model_copy(update={"set": "1" * 12, "security_groups": ["db"]})
    assert function_shape(512, network=NETWORK) == function_shape(512, network=other)
    assert function_shape(512, network=NETWORK).zones == ("zone-a", "zone-b")


def test_environments_run_where_subnets_and_volume_agree() -> None:
    """Each alone says where, too."""
    files = FILES.model_copy(update={"zones": ("zone-b", "zone-c")})
    assert function_shape(512, network=NETWORK, file_systems=[files]).zones == ("zone-b",)
    assert function_shape(512, file_systems=[files]).zones == ("zone-b", "zone-c")
    assert function_shape(512, network=NETWORK, file_systems=[FILES]).zones == ("zone-a", "zone-b")


def test_operator_and_frontend_find_the_same_shape() -> None:
    """The one in what is written in a status, the other in what it read of it."""
    found = CONFIGURATION.model_copy(update={"ephemeral_storage": 2048, "network": NETWORK, "file_systems": [FILES]})
    assert configured_shape(found) == deployed_shape(found.model_dump(mode="json", by_alias=True)) != GENERIC
    assert hash(configured_shape(found)) == hash(deployed_shape(found.model_dump(mode="json", by_alias=True)))
    assert deployed_shape(CONFIGURATION.model_dump(mode="json", by_alias=True)) is GENERIC


@pytest.mark.parametrize(
    ("spec", "generic"),
    [
        ({}, True),
        ({"ephemeralStorage": {"size": 512}, "vpcConfig": {"subnetIds": []}}, True),
        ({"ephemeralStorage": {"size": 1024}}, False),
        ({"vpcConfig": {"subnetIds": ["a"]}}, False),
        ({"fileSystemConfigs": [{"arn": "files"}]}, False),
    ],
)
def test_the_pool_of_a_new_function_fills_before_it_is_deployed(spec: dict[str, Any], generic: bool) -> None:
    """Where its spec tells that the generic one will do."""
    assert looks_generic(spec) is generic


def test_a_pool_pod_gets_the_size_first_where_its_own_limit_is_too_small() -> None:
    """Else it runs at once, and the size follows."""
    fits = start_plan(CONFIGURATION.model_copy(update={"memory_size": 3024}), overhead_mb=48, pool_limit_mb=3072)
    assert (fits.source, fits.enlarge_first, fits.claim_first(is_open=False)) == (PodSource.POOL, False, False)
    large = start_plan(CONFIGURATION.model_copy(update={"memory_size": 3025}), overhead_mb=48, pool_limit_mb=3072)
    assert (large.source, large.enlarge_first, large.claim_first(is_open=True)) == (PodSource.POOL, True, True)


def test_a_closed_pod_is_claimed_before_anything_runs_in_it() -> None:
    """The claim opens it: two functions that want it would open it for both otherwise. Unless it is open already."""
    closed = CONFIGURATION.model_copy(update={"network": NETWORK})
    plan = start_plan(closed, overhead_mb=48, pool_limit_mb=3072)
    assert plan.claim_first(is_open=False)
    assert not plan.claim_first(is_open=True)


def test_a_pool_pod_that_did_not_do_is_not_tried_again() -> None:
    """A pod of its own has the right size from the start."""
    large = CONFIGURATION.model_copy(update={"memory_size": 9000})
    plan = start_plan(large, overhead_mb=48, pool_limit_mb=3072, own_pod=True)
    assert plan.source is PodSource.OWN
    assert not plan.enlarge_first


def test_pods_of_another_bandwidth_are_another_shape() -> None:
    """Network plugins read it when a pod is made; where nobody limits it, pools are called as before."""
    limited = CONFIGURATION.model_copy(update={"bandwidth_mbit": 75})
    found = configured_shape(limited)
    assert found == deployed_shape(limited.model_dump(mode="json", by_alias=True)) == Shape(bandwidth_mbit=75)
    assert len({GENERIC.id, found.id, Shape(bandwidth_mbit=150).id}) == 3
    assert Shape(closed=True).id == "aced92d0bc"
