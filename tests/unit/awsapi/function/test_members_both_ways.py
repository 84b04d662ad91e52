"""Members of CreateFunction through the spec of a Function and back: nothing is lost on the way (§1.3)."""

from typing import Any

import pytest

from kubelambda.awsapi.function.function_configuration import configuration
from kubelambda.awsapi.function.spec_changes import changed
from kubelambda.awsapi.model.service_model import ServiceModel

MODEL = ServiceModel.load("lambda")
ACCOUNT = "123456789012"
LAYER = f"arn:aws:lambda:us-east-1:{ACCOUNT}:layer:shared:2"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:failed"
MEMBERS: dict[str, Any] = {
    "Role": f"arn:aws:iam::{ACCOUNT}:role/lambda",
    "Runtime": "python3.13",
    "Handler": "index.handler",
    "Description": "all of it",
    "Timeout": 9,
    "MemorySize": 512,
    "PackageType": "Zip",
    "Architectures": ["arm64"],
    "EphemeralStorage": {"Size": 1024},
    "Environment": {"Variables": {"STAGE": "live"}},
    "TracingConfig": {"Mode": "Active"},
    "DeadLetterConfig": {"TargetArn": QUEUE},
    "FileSystemConfigs": [{"Arn": "shared-data", "LocalMountPath": "/mnt/data"}],
    "LoggingConfig": {"LogFormat": "JSON", "SystemLogLevel": "WARN", "ApplicationLogLevel": "DEBUG", "LogGroup": "g"},
}
ANSWERED_OTHERWISE: dict[str, tuple[Any, str, Any]] = {
    "Layers": ([LAYER], "Layers", [{"Arn": LAYER, "CodeSize": 0}]),
    "SnapStart": (
        {"ApplyOn": "PublishedVersions"},
        "SnapStart",
        {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"},
    ),
    "VpcConfig": (
        {"SubnetIds": ["a"], "SecurityGroupIds": ["b"]},
        "VpcConfig",
        {"SubnetIds": ["a"], "SecurityGroupIds": ["b"], "VpcId": ""},
    ),
    "ImageConfig": ({"Command": ["run"]}, "ImageConfigResponse", {"ImageConfig": {"Command": ["run"]}}),
}
NOT_OF_THE_CONFIGURATION = {"FunctionName", "Code", "Publish", "Tags", "CodeSigningConfigArn"}
REFUSED_BY_THE_KIND = {
    "KMSKeyArn",
    "TenancyConfig",
    "CapacityProviderConfig",
    "DurableConfig",
    "PublishTo",
    "RuntimeConfig",
    "AcceleratorConfig",
}
"""Members that no field has: the API server refuses the object, with a text that says so."""


def shown(members: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a function made with those members."""
    body = {
        "metadata": {"uid": ACCOUNT.rjust(32, "0"), "generation": 1, "creationTimestamp": "2026-01-02T03:04:05Z"},
        "spec": {"functionName": "all", **changed({}, members)},
        "status": {},
    }
    return configuration(body, "us-east-1", ACCOUNT)


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_comes_back_as_it_was_given(member: str) -> None:
    """Whether the kind serves its value is the API server's to say."""
    assert shown({member: MEMBERS[member]})[member] == MEMBERS[member]


@pytest.mark.parametrize("member", ANSWERED_OTHERWISE)
def test_some_members_are_answered_in_another_form(member: str) -> None:
    """As Lambda's model has it."""
    given, answered, value = ANSWERED_OTHERWISE[member]
    assert shown({member: given})[answered] == value


def test_no_member_is_dropped_in_silence() -> None:
    """Every member of the model is mapped, or reaches the API server, which refuses it."""
    known = MEMBERS.keys() | ANSWERED_OTHERWISE.keys() | NOT_OF_THE_CONFIGURATION | REFUSED_BY_THE_KIND
    assert MODEL.members("CreateFunctionRequest").keys() == known
    for member in REFUSED_BY_THE_KIND:
        assert changed({}, {member: "x"}), member
