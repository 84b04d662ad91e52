"""Rendered manifests, compared with golden files (`UPDATE_GOLDEN=1` rewrites them): a change of them is reviewed."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubelambda.api.kinds.deployed_configuration import DeployedCode, DeployedConfiguration
from kubelambda.api.kinds.function_mounts import CreationInfo, DeployedFileSystem
from kubelambda.api.kinds.runtime import Prestart, RuntimeSpec
from kubelambda.api.settings import EnvironmentSettings, NetworkSettings, Settings
from kubelambda.core.environment.pool_identity import PoolIdentity
from kubelambda.core.environment.shape import Shape
from kubelambda.resources.closure_check import closure_check
from kubelambda.resources.enforcement_probe_objects import PodOwner, ProbePods, probe_policy
from kubelambda.resources.environment_network_policy import environment_network_policies
from kubelambda.resources.environment_pod import (
    configured_resources,
    function_labels,
    pod_metadata,
    pod_spec,
)
from kubelambda.resources.pool_deployment import pool_deployment
from kubelambda.resources.provisioned_deployment import provisioned_deployment, provisioned_label, provisioned_name

HERE = Path(__file__).parent
RUNTIME = RuntimeSpec(image="example.com/python:1", prestart=Prestart.PYTHON, inline_file_name="index.py")
CONFIGURATION = DeployedConfiguration(
    revision="0123456789abcdef",
    runtime="python3.13",
    handler="index.handler",
    code=DeployedCode(sha256="0" * 64, size=1),
    memory_size=1769,
    timeout=3,
    log_group="/aws/lambda/hello",
)


def pool() -> dict[str, Any]:
    """A pool with the settings of a fresh installation."""
    settings = EnvironmentSettings()
    generic = PoolIdentity("python3.13")
    return pool_deployment("team", generic, "uid", RUNTIME, settings, size=2, token_sha256="f" * 64)


def closed_pool() -> dict[str, Any]:
    """A pool of functions with a vpcConfig and a large /tmp, in zones of their subnets."""
    return pool_deployment(
        "team",
        PoolIdentity("python3.13", Shape(ephemeral_storage_mb=2048, closed=True, zones=("zone-a", "zone-b"))),
        "uid",
        RUNTIME,
        EnvironmentSettings(),
        size=0,
        token_sha256="f" * 64,
        closure=closure_check(Settings()),
    )


def own_pod() -> dict[str, Any]:
    """A pod that a pool cannot provide, with everything set."""
    settings = EnvironmentSettings(
        runtime_class_name="gvisor",
        user_namespaces=True,
        node_selector={"disk": "fast"},
        image_pull_secrets=["registry"],
    )
    return pod_spec(
        "python3.13",
        RUNTIME,
        settings,
        resources=configured_resources(1769, settings),
        token_sha256="f" * 64,
        shape=Shape(
            ephemeral_storage_mb=1024,
            file_systems=(
                DeployedFileSystem(
                    access_point="shared",
                    claim="data",
                    sub_path="a/b",
                    mount_path="/mnt/data",
                    uid=1001,
                    gid=1002,
                    secondary_gids=(1003,),
                    creation=CreationInfo(owner_uid=1004, owner_gid=1005, permissions="0750"),
                ),
            ),
        ),
    )


def image_pod() -> dict[str, Any]:
    """A pod of a function's own image: the agent beside it, its root read-only, its /tmp of the size asked for."""
    return pod_spec(
        "image",
        RuntimeSpec(image="example.com/agent:1", inline_file_name="bootstrap"),
        EnvironmentSettings(image_pull_secrets=["registry"]),
        resources=configured_resources(512, EnvironmentSettings()),
        token_sha256="f" * 64,
        shape=Shape(ephemeral_storage_mb=2048, image=f"example.com/app@sha256:{'0' * 64}"),
    )


def provisioned() -> dict[str, Any]:
    """Environments that are kept initialized for an alias whose name no label can have."""
    return provisioned_deployment(
        "team",
        CONFIGURATION.model_copy(update={"version": "3"}),
        RUNTIME,
        EnvironmentSettings(pod_annotations={"example.com/evict": "no"}),
        function="hello",
        function_uid="uid",
        qualifier="_live",
        owner={"kind": "Alias", "name": "hello-live"},
        replicas=2,
        token_sha256="f" * 64,
    )


def policies() -> list[dict[str, Any]]:
    """The policies of a namespace with functions."""
    return environment_network_policies("team", "kubelambda-system", NetworkSettings(), ["192.0.2.1", "2001:db8::1"])


def probe() -> list[tuple[str, dict[str, Any]]]:
    """What tries whether the cluster enforces NetworkPolicies."""
    pods = ProbePods(Settings(), "example.com/platform:1", 360, PodOwner("operator-1", "uid"))
    found = [probe_policy("kubelambda-system", {"enforced": "True"}), pods.listener(), pods.prober(0, "10.1.0.7")]
    return [(manifest["metadata"]["name"].removeprefix("kubelambda-"), manifest) for manifest in found]


@pytest.mark.parametrize(
    ("name", "manifest"),
    [
        *probe(),
        ("provisioned", provisioned()),
        ("pool", pool()),
        ("closed-pool", closed_pool()),
        ("own-pod", own_pod()),
        ("image-pod", image_pod()),
        ("pod-metadata", pod_metadata({"team": "a"}, EnvironmentSettings(pod_annotations={"example.com/evict": "no"}))),
        ("pod-metadata-limited", pod_metadata({}, EnvironmentSettings(), Shape(bandwidth_mbit=75))),
        *((policy["metadata"]["name"].replace("kubelambda-", "policy-"), policy) for policy in policies()),
        ("labels", function_labels("hello", "uid", CONFIGURATION)),
    ],
)
def test_the_manifest_is_the_golden_file(name: str, manifest: dict[str, Any]) -> None:
    """Byte for byte."""
    golden = HERE / f"{name}.yaml"
    rendered = yaml.safe_dump(manifest, sort_keys=False)
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(rendered)
    assert rendered == golden.read_text()


def test_requests_stay_below_limits_at_every_size() -> None:
    """A resize must not change the quality-of-service class."""
    for memory in (128, 1769, 10_240):
        found = configured_resources(memory, EnvironmentSettings())
        assert found.memory_request_mb < found.memory_limit_mb
        assert found.cpu_request_milli < found.cpu_limit_milli


def test_every_qualifier_has_a_deployment_and_a_label_of_its_own() -> None:
    """Names of aliases differ in their case, may be 128 characters long and begin with a dash."""
    qualifiers = ["live", "Live", "-live", "_", "a" * 128, "a" * 63 + "b", "7"]
    names = {provisioned_name("f" * 63, "3", qualifier) for qualifier in qualifiers}
    assert len(names) == len({provisioned_label(qualifier) for qualifier in qualifiers}) == len(qualifiers)
    assert all(len(name) <= 63 for name in names)
    assert all(len(provisioned_label(qualifier)) <= 63 for qualifier in qualifiers)
