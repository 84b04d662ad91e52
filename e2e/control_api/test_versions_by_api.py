"""Versions, aliases, provisioned concurrency and its scaling, by boto3 alone, on a real cluster (§1.5, §5.5, §8)."""

import io
import os
import zipfile
from typing import Any

import boto3
import pytest

from installation.account import Account
from installation.kubectl import eventually

ROLE = "arn:aws:iam::123456789012:role/lambda"
QUICK = {"Delay": 1, "MaxAttempts": 60}


def answering(value: str) -> bytes:
    """Code whose handler returns `value` and the version that it runs as."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        folder.writestr("index.py", f"def handler(event, context):\n    return [{value!r}, context.function_version]\n")
    return archive.getvalue()


@pytest.fixture(scope="module")
def arn(account: Account) -> str:
    """A function with two versions, which answer differently."""
    client, found = account.client, account.arn("versioned")
    members: dict[str, Any] = {"Runtime": "python3.13", "Role": ROLE, "Handler": "index.handler", "Timeout": 30}
    created = client.create_function(FunctionName=found, Code={"ZipFile": answering("one")}, Publish=True, **members)
    assert created["Version"] == "1"
    client.get_waiter("function_active_v2").wait(FunctionName=found, WaiterConfig=QUICK)
    client.update_function_code(FunctionName=found, ZipFile=answering("two"))
    client.get_waiter("function_updated_v2").wait(FunctionName=found, WaiterConfig=QUICK)
    assert client.publish_version(FunctionName=found)["Version"] == "2"
    return found


def test_each_version_answers_as_itself(account: Account, arn: str) -> None:
    """By number, also after newer code."""
    for number, value in (("1", "one"), ("2", "two")):
        answer = account.invoke("versioned", {}, Qualifier=number)
        assert (answer["Payload"], answer["ExecutedVersion"]) == ([value, number], number)
    pages = account.client.get_paginator("list_versions_by_function").paginate(FunctionName=arn)
    assert [each["Version"] for page in pages for each in page["Versions"]] == ["$LATEST", "1", "2"]


def test_an_alias_moves_between_versions(account: Account, arn: str) -> None:
    """Callers of the alias get what it names."""
    client = account.client
    client.create_alias(FunctionName=arn, Name="live", FunctionVersion="1")

    def answers(version: str) -> bool:
        try:
            return bool(account.invoke("versioned", {}, Qualifier="live")["ExecutedVersion"] == version)
        except client.exceptions.ResourceNotFoundException as error:
            raise AssertionError(str(error)) from error

    eventually(lambda: answers("1"))
    client.update_alias(FunctionName=arn, Name="live", FunctionVersion="2")
    eventually(lambda: answers("2"))
    assert client.get_alias(FunctionName=arn, Name="live")["FunctionVersion"] == "2"


def test_provisioned_concurrency_becomes_ready(account: Account, arn: str) -> None:
    """IN_PROGRESS, then READY with all of them available; taken back at the end."""
    client = account.client
    client.create_alias(FunctionName=arn, Name="kept", FunctionVersion="1")
    put = client.put_provisioned_concurrency_config(
        FunctionName=arn, Qualifier="kept", ProvisionedConcurrentExecutions=1
    )
    assert put["Status"] == "IN_PROGRESS"

    def ready() -> bool:
        found = client.get_provisioned_concurrency_config(FunctionName=arn, Qualifier="kept")
        return bool(found["Status"] == "READY" and found["AvailableProvisionedConcurrentExecutions"] == 1)

    eventually(ready, timeout=180)
    client.delete_provisioned_concurrency_config(FunctionName=arn, Qualifier="kept")


def test_application_auto_scaling_has_the_same_address() -> None:
    """boto3's client of that service, over the default account."""
    client = boto3.client("application-autoscaling", endpoint_url=os.environ["ENDPOINT"])
    found = client.describe_scalable_targets(ServiceNamespace="lambda", ResourceIds=["function:absent:live"])
    assert found["ScalableTargets"] == []
    with pytest.raises(client.exceptions.ValidationException, match="Alias not found"):
        client.register_scalable_target(
            ServiceNamespace="lambda",
            ResourceId="function:absent:live",
            ScalableDimension="lambda:function:ProvisionedConcurrency",
            MinCapacity=1,
            MaxCapacity=2,
        )
