"""The definitions on a real API server: what it accepts, what it refuses, and how it says so (§1.3)."""

import base64
import json
from typing import Any

import pytest
from tests.integration.control_plane import ControlPlane

from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import CUSTOM_RESOURCE_DEFINITIONS

GOOD: dict[str, Any] = {"runtime": "python3.13", "handler": "index.handler", "code": {"inline": "x = 1"}}
ARCHIVE = base64.b64encode(b"anything").decode()
DIGEST = "0" * 64
URL = "https://example.com/code.zip"


def variables(size: int) -> dict[str, Any]:
    """An environment whose JSON has `size` bytes."""
    return {"environment": {"variables": {"AB": "x" * (size - len('{"AB":""}'))}}}


def create(control_plane: ControlPlane, spec: dict[str, Any], *, name: str = "fn", kind: str = "Function") -> str:
    """What the API server says to `spec` merged over a good one; empty when it accepts it. Stores nothing."""
    merged = {**(GOOD if kind == "Function" else {"image": "i", "inlineFileName": "f"}), **spec}
    manifest = {
        "apiVersion": "kubelambda.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {field: value for field, value in merged.items() if value is not None},
    }
    finished = control_plane.kubectl("create", "--dry-run=server", "--filename", "-", stdin=json.dumps(manifest))
    return finished.stderr if finished.returncode else ""


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"code": {"zipFile": ARCHIVE}},
        {"code": {"configMapRef": {"name": "code", "key": "index.py"}}},
        {"code": {"url": URL, "sha256": DIGEST}},
        {"code": {"inline": "x" * 262_144}},
        {"memorySize": 128, "timeout": 1, "ephemeralStorage": {"size": 512}, "reservedConcurrentExecutions": 0},
        {"memorySize": 10_240, "timeout": 900, "ephemeralStorage": {"size": 10_240}},
        {"handler": "x" * 128, "description": "x" * 256},
        variables(4096),
        {"environment": {"from": [{"name": "TOKEN", "secretKeyRef": {"name": "api", "key": "token"}}]}},
        {"environment": {"from": [{"name": "MODE", "configMapKeyRef": {"name": "c", "key": "m", "optional": True}}]}},
        {"architectures": ["x86_64"], "layers": [], "tracingConfig": {"mode": "PassThrough"}, "publish": False},
        {"loggingConfig": {"logFormat": "Text", "logGroup": "/team/hello"}, "snapStart": {"applyOn": "None"}},
    ],
    ids=lambda spec: ",".join(spec) or "minimal",
)
def test_good_functions_are_accepted(control_plane: ControlPlane, spec: dict[str, Any]) -> None:
    """At every limit, and with every source of code that is served."""
    assert create(control_plane, spec) == ""


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"timeout": "three"}, "spec.timeout: Invalid value"),
        ({"memorySize": 128.5}, "spec.memorySize: Invalid value"),
        ({"environment": {"variables": {"PORT": 80}}}, "spec.environment.variables.PORT: Invalid value"),
        ({"code": "x = 1"}, "spec.code: Invalid value"),
        ({"code": None}, "spec.code: Required value"),
        ({"handler": None}, "runtime and handler are required when packageType is Zip"),
        ({"runtime": None}, "runtime and handler are required when packageType is Zip"),
        ({"handler": "index handler"}, "spec.handler"),
        ({"handler": "x" * 129}, "may not be more than 128"),
        ({"description": "x" * 257}, "may not be more than 256"),
        ({"runtime": "Python"}, "spec.runtime"),
        ({"memorySize": 127}, "should be greater than or equal to 128"),
        ({"memorySize": 10_241}, "should be less than or equal to 10240"),
        ({"timeout": 0}, "should be greater than or equal to 1"),
        ({"timeout": 901}, "should be less than or equal to 900"),
        ({"ephemeralStorage": {"size": 511}}, "should be greater than or equal to 512"),
        ({"ephemeralStorage": {"size": 10_241}}, "should be less than or equal to 10240"),
        ({"reservedConcurrentExecutions": -1}, "should be greater than or equal to 0"),
        (variables(4097), "exceeded the 4KB limit"),
        ({"environment": {"variables": {"AWS_REGION": "x"}}}, "a name that Lambda reserves"),
        ({"environment": {"variables": {"LAMBDA_TASK_ROOT": "x"}}}, "a name that Lambda reserves"),
        ({"environment": {"variables": {"1ST": "x"}}}, "start with a letter"),
        ({"environment": {"variables": {"A": "x"}}}, "at least two"),
        (
            {"environment": {"from": [{"name": "AWS_REGION", "secretKeyRef": {"name": "a", "key": "b"}}]}},
            "this environment variable is reserved by Lambda",
        ),
        ({"environment": {"from": [{"name": "NONE"}]}}, "give exactly one of secretKeyRef and configMapKeyRef"),
        ({"code": {}}, "code needs exactly one of"),
        ({"code": {"inline": "x", "zipFile": ARCHIVE}}, "code needs exactly one of"),
        ({"code": {"url": URL}}, "code.url and code.sha256 belong together"),
        ({"code": {"inline": "x", "sha256": DIGEST}}, "code.sha256 is for an archive that is fetched"),
        ({"code": {"url": "ftp://example.com/x", "sha256": DIGEST}}, "spec.code.url"),
        ({"code": {"url": URL, "sha256": "abc"}}, "spec.code.sha256"),
        ({"code": {"inline": "x" * 262_145}}, "may not be more than 262144"),
        ({"code": {"s3Bucket": "bucket"}}, "code.s3Bucket and code.s3Key belong together"),
        ({"code": {"s3Bucket": "../b", "s3Key": "k"}}, "spec.code.s3Bucket"),
        ({"code": {"inline": "x", "s3ObjectVersion": "1"}}, "code.s3ObjectVersion needs code.s3Bucket"),
        ({"code": {"oci": {"reference": ""}}}, "spec.code.oci.reference"),
        ({"code": {"oci": {"reference": "r"}, "url": URL, "sha256": DIGEST}}, "code needs exactly one of"),
        ({"packageType": "Image"}, "runtime and handler are not allowed when packageType is Image"),
        (
            {
                "packageType": "Image",
                "runtime": None,
                "handler": None,
                "code": {"imageUri": "r.example/i"},
                "layers": ["numpy:1"],
            },
            "Layers are not supported for functions with packageType Image.",
        ),
        ({"imageConfig": {"command": ["a"]}}, "imageConfig needs packageType Image"),
        ({"packageType": "Jar"}, "Unsupported value"),
        ({"layers": ["numpy"]}, "spec.layers[0]"),
        ({"layers": ["numpy:1"] * 6}, "Cannot reference more than 5 layers."),
        ({"architectures": ["arm64"]}, "architectures is not served by this release"),
        ({"architectures": ["sparc"]}, "Unsupported value"),
        ({"fileSystemConfigs": [{"arn": "a", "localMountPath": "/data"}]}, "localMountPath"),
        ({"deadLetterConfig": {"targetArn": "a"}}, "spec.deadLetterConfig.targetArn"),
        ({"deadLetterConfig": {"targetArn": "arn:aws:sqs:us-east-1:123456789012:q.fifo"}}, "targetArn"),
        (
            {"eventInvokeConfig": {"destinationConfig": {"onSuccess": {"destination": "arn:aws:s3:::bucket"}}}},
            "a bucket is a destination for failures only",
        ),
        ({"eventInvokeConfig": {"destinationConfig": {"onFailure": {"destination": "Not A Name"}}}}, "destination"),
        ({"recursiveLoop": "Maybe"}, "Unsupported value"),
        ({"tracingConfig": {"mode": "Active"}}, "tracingConfig is not served by this release"),
        ({"snapStart": {"applyOn": "PublishedVersions"}}, "snapStart is not served by this release"),
        ({"url": {"authType": "TOKEN"}}, "Unsupported value"),
        ({"versionRetention": 0}, "should be greater than or equal to 1"),
        ({"loggingConfig": {"logFormat": "JSON"}}, "logFormat is not served by this release"),
    ],
)
def test_bad_functions_are_refused_with_a_clear_message(
    control_plane: ControlPlane, spec: dict[str, Any], message: str
) -> None:
    """By the API server itself, before anything is stored."""
    assert message in create(control_plane, spec)


def test_an_unknown_field_is_refused_by_kubectl(control_plane: ControlPlane) -> None:
    """A typing error is not silently dropped."""
    assert 'unknown field "spec.memory"' in create(control_plane, {"memory": 128})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("n" * 63, ""),
        ("n" * 64, "at most 63 characters"),
        ("first.second", "has no dots"),
        ("Capital", "lowercase RFC 1123"),
    ],
)
def test_names_are_those_of_lambda_that_kubernetes_can_hold(
    control_plane: ControlPlane, name: str, message: str
) -> None:
    """One label of 63 characters."""
    said = create(control_plane, {}, name=name)
    assert message in said if message else said == ""


def test_the_package_type_cannot_be_changed(control_plane: ControlPlane, namespace: str) -> None:
    """An update says so, beside whatever else is wrong with it."""
    manifest: dict[str, Any] = {
        "apiVersion": "kubelambda.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"name": "packaged", "namespace": namespace},
        "spec": GOOD,
    }
    assert control_plane.apply([manifest]).returncode == 0
    manifest["spec"] = {**GOOD, "packageType": "Image"}
    assert "packageType cannot be changed" in control_plane.apply([manifest]).stderr


@pytest.mark.parametrize(
    ("spec", "name", "message"),
    [
        ({}, "python3.14", ""),
        ({"pool": {"size": 0}, "prestart": "node", "bootstrap": ["/bin/sh", "-c", "x"]}, "r" * 45, ""),
        ({}, "r" * 46, "at most 45 characters"),
        ({"image": None}, "r", "spec.image: Required value"),
        ({"image": ""}, "r", "spec.image"),
        ({"inlineFileName": "../index.py"}, "r", "spec.inlineFileName"),
        ({"prestart": "ruby"}, "r", "Unsupported value"),
        ({"pool": {"size": -1}}, "r", "should be greater than or equal to 0"),
        ({"pool": {"size": 1001}}, "r", "should be less than or equal to 1000"),
    ],
)
def test_runtimes_are_checked(control_plane: ControlPlane, spec: dict[str, Any], name: str, message: str) -> None:
    """Image, file name, prestart and pool."""
    said = create(control_plane, spec, name=name, kind="Runtime")
    assert message in said if message else said == ""


async def test_defaults_are_those_of_lambda(control_plane: ControlPlane, client: KubeClient, namespace: str) -> None:
    """What is left out is filled in, and the status says Pending before anybody looked."""
    manifest = {
        "apiVersion": "kubelambda.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"name": "defaults", "namespace": namespace},
        "spec": GOOD,
    }
    assert control_plane.apply([manifest]).returncode == 0
    shown = control_plane.kubectl("--namespace", namespace, "get", "fn", "defaults", "--output", "json")
    found = json.loads(shown.stdout)
    spec = found["spec"]
    assert (spec["memorySize"], spec["timeout"], spec["packageType"]) == (128, 3, "Zip")
    assert spec["ephemeralStorage"] == {"size": 512}
    assert found["status"] == {"observedGeneration": -1, "state": "Pending", "conditions": []}


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("fn", ["NAME", "RUNTIME", "IMAGE", "STATE", "MEMORY", "TIMEOUT", "RESERVED", "READY", "AGE"]),
        ("rt", ["NAME", "IMAGE", "PRESTART", "POOL", "FUNCTIONS", "IDLE", "READY", "AGE"]),
    ],
)
def test_kubectl_shows_columns(control_plane: ControlPlane, namespace: str, kind: str, columns: list[str]) -> None:
    """By the short names; more with --output wide, and both kinds under their category."""
    if kind == "fn":
        manifest = {
            "apiVersion": "kubelambda.dev/v1alpha1",
            "kind": "Function",
            "metadata": {"name": "columns", "namespace": namespace},
            "spec": GOOD,
        }
        assert control_plane.apply([manifest]).returncode == 0
    shown = control_plane.kubectl("--namespace", namespace, "get", kind).stdout.splitlines()
    assert shown[0].split() == columns
    wide = control_plane.kubectl("--namespace", namespace, "get", kind, "--output", "wide").stdout.splitlines()[0]
    assert wide.split()[: len(columns)] == columns
    assert wide.split()[-2:] == ["REASON", "MESSAGE"]


async def test_applying_older_definitions_first_keeps_every_function(
    control_plane: ControlPlane, client: KubeClient, namespace: str
) -> None:
    """An upgrade of the definitions changes no object, and adds what is new."""
    manifest = {
        "apiVersion": "kubelambda.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"name": "kept", "namespace": namespace},
        "spec": GOOD,
    }
    assert control_plane.apply([manifest]).returncode == 0
    current = await client.get(CUSTOM_RESOURCE_DEFINITIONS, "functions.kubelambda.dev")
    older = json.loads(json.dumps(current))
    older["metadata"] = {"name": older["metadata"]["name"], "resourceVersion": current["metadata"]["resourceVersion"]}
    schema = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"]["snapStart"]
    schema["properties"]["spec"]["x-kubernetes-validations"] = []
    replaced = control_plane.kubectl("replace", "--filename", "-", stdin=json.dumps(older))
    assert replaced.returncode == 0, replaced.stderr
    before = control_plane.kubectl("--namespace", namespace, "get", "fn", "kept", "--output", "json").stdout
    upgraded = control_plane.upgrade_definitions()
    assert upgraded.returncode == 0, upgraded.stderr
    after = control_plane.kubectl("--namespace", namespace, "get", "fn", "kept", "--output", "json").stdout
    assert json.loads(after)["metadata"] == json.loads(before)["metadata"]
    found = await client.get(CUSTOM_RESOURCE_DEFINITIONS, "functions.kubelambda.dev")
    spec = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert "snapStart" in spec["properties"]
    assert spec["x-kubernetes-validations"]
