"""Lambda's control API beside Invoke: boto3 and the aws cli, unmodified, on a real cluster (§1.1, §1.4)."""

import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from installation.account import Account, lambda_client
from installation.archives import zipped
from installation.kubectl import eventually, kubectl

ROLE = "arn:aws:iam::123456789012:role/lambda"


def answering(value: str) -> bytes:
    """Code whose handler returns `value`."""
    return zipped({"index.py": f"def handler(event, context):\n    return {value!r}\n"})


def create(account: Account, name: str, code: bytes, **more: Any) -> Any:
    """CreateFunction in the test's account."""
    members = {"Runtime": "python3.13", "Role": ROLE, "Handler": "index.handler", "Timeout": 30, **more}
    members["Code"] = {"ZipFile": code}
    return account.client.create_function(FunctionName=account.arn(name), **members)


def invoked(account: Account, name: str) -> Any:
    """What a function answers that the control API calls Active: on a busy node a frontend hears of it later."""

    def answered() -> Any:
        try:
            return account.invoke(name)
        except account.client.exceptions.ResourceConflictException as error:  # Pending, and never a 404
            raise AssertionError(str(error)) from error

    return eventually(answered)["Payload"]


def test_boto3_creates_updates_and_deletes_with_its_waiters(account: Account) -> None:
    """function_active_v2 and function_updated_v2 end, and what is invoked is what was uploaded last."""
    client, arn = account.client, account.arn("by-boto3")
    assert create(account, "by-boto3", answering("one"))["State"] == "Pending"
    quick = {"Delay": 1, "MaxAttempts": 60}
    client.get_waiter("function_active_v2").wait(FunctionName=arn, WaiterConfig=quick)
    assert invoked(account, "by-boto3") == "one"
    updated = client.update_function_code(FunctionName=arn, ZipFile=answering("two"))
    assert updated["LastUpdateStatus"] == "InProgress"
    client.get_waiter("function_updated_v2").wait(FunctionName=arn, WaiterConfig=quick)
    # Frontends hear of it from the API server when the control API does, and on a busy node a moment later.
    eventually(lambda: account.invoke("by-boto3")["Payload"] == "two")
    client.update_function_configuration(FunctionName=arn, MemorySize=512)
    client.get_waiter("function_updated_v2").wait(FunctionName=arn, WaiterConfig=quick)
    assert client.get_function_configuration(FunctionName=arn)["MemorySize"] == 512
    assert account.get("function", "by-boto3")["spec"]["memorySize"] == 512
    client.delete_function(FunctionName=arn)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function(FunctionName=arn)


def test_a_function_is_invoked_as_soon_as_it_is_active(account: Account) -> None:
    """Under a name that Kubernetes does not take, and its handler is told that name."""
    handler = "def handler(event, context):\n    return [context.function_name, context.invoked_function_arn]\n"
    code = zipped({"index.py": handler})
    create(account, "My_Function", code)
    arn = account.arn("My_Function")
    account.client.get_waiter("function_active_v2").wait(FunctionName=arn, WaiterConfig={"Delay": 1})
    assert invoked(account, "My_Function") == ["My_Function", arn]


def test_code_of_thirty_megabytes_passes_through_and_comes_back(account: Account) -> None:
    """Through frontend, control API, store and agent; and by the address that GetFunction gives."""
    handler = "import os\n\ndef handler(event, context):\n    return os.path.getsize('data')\n"
    archive = zipped({"data": os.urandom(30 << 20), "index.py": handler})
    assert create(account, "large", archive)["CodeSize"] == len(archive)
    arn = account.arn("large")
    account.client.get_waiter("function_active_v2").wait(FunctionName=arn, WaiterConfig={"Delay": 1})
    assert invoked(account, "large") == 30 << 20
    location = account.client.get_function(FunctionName=arn)["Code"]["Location"]
    with urllib.request.urlopen(location, timeout=60) as response:
        assert response.read() == archive


def test_from_create_to_an_answer(account: Account) -> None:
    """A function of a megabyte answers soon after CreateFunction; how soon is printed."""
    archive = zipped({"data": os.urandom(1 << 20), "index.py": "def handler(event, context):\n    return 'here'\n"})
    began = time.monotonic()
    create(account, "quick", archive)

    def answered() -> bool:
        try:
            return bool(account.invoke("quick")["Payload"] == "here")
        except account.client.exceptions.ResourceConflictException as error:  # Pending, and never a 404
            raise AssertionError(str(error)) from error

    eventually(answered, interval=0.02)
    print(f"create to answer, 1 MB: {time.monotonic() - began:.2f} s")


def test_the_paginator_lists_functions_of_the_callers_account() -> None:
    """ListFunctions speaks of the account that a caller without an ARN is in: the default one."""
    default = Account("default", lambda_client())
    names = [f"listed-{number}" for number in range(3)]
    try:
        for name in names:
            default.client.create_function(
                FunctionName=name,
                Runtime="python3.13",
                Role=ROLE,
                Handler="index.handler",
                Code={"ZipFile": answering(name)},
            )

        def listed() -> bool:
            """Lists wait two seconds for what was just created, and not for longer."""
            pages = default.client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2})
            return set(names) <= {each["FunctionName"] for page in pages for each in page["Functions"]}

        eventually(listed)
    finally:
        kubectl("--namespace", "default", "delete", "function", *names, "--ignore-not-found")


def aws(*arguments: str) -> Any:
    """What `aws lambda …` printed."""
    command = ["aws", "lambda", *arguments, "--endpoint-url", os.environ["ENDPOINT"], "--output", "json"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout) if finished.stdout.strip() else None


def test_the_aws_cli_from_create_to_delete(account: Account, tmp_path: Path) -> None:
    """The example of the README: a zip, a function, its code, its configuration, its concurrency, its tags."""
    archive = tmp_path / "code.zip"
    archive.write_bytes(answering("by the cli"))
    name = ["--function-name", account.arn("by-cli")]
    zip_file = ["--zip-file", f"fileb://{archive}"]
    common = ["--runtime", "python3.13", "--handler", "index.handler", "--role", ROLE]
    assert aws("create-function", *name, *common, *zip_file)["FunctionName"] == "by-cli"
    aws("wait", "function-active-v2", *name)
    answer = tmp_path / "answer.json"
    command = ["aws", "lambda", "invoke", "--endpoint-url", os.environ["ENDPOINT"], *name, str(answer)]
    subprocess.run(command, check=True, capture_output=True)
    assert json.loads(answer.read_text()) == "by the cli"
    assert aws("update-function-configuration", *name, "--timeout", "7")["Timeout"] == 7
    aws("wait", "function-updated-v2", *name)
    assert aws("put-function-concurrency", *name, "--reserved-concurrent-executions", "2") == {
        "ReservedConcurrentExecutions": 2
    }
    aws("tag-resource", "--resource", account.arn("by-cli"), "--tags", "team=blue")
    found = aws("get-function", *name)
    assert found["Tags"] == {"team": "blue"}
    assert found["Concurrency"] == {"ReservedConcurrentExecutions": 2}
    aws("delete-function-concurrency", *name)
    aws("delete-function", *name)


def test_what_is_not_served_says_so(account: Account) -> None:
    """Never a false success."""
    with pytest.raises(ClientError) as raised:
        account.client.create_capacity_provider(
            CapacityProviderName="x",
            VpcConfig={"SubnetIds": ["s"], "SecurityGroupIds": ["g"]},
            PermissionsConfig={"CapacityProviderOperatorRoleArn": ROLE},
        )
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert "CreateCapacityProvider is not served by this release of kubelambda" in str(raised.value)


def test_lambdas_own_words_for_a_wrong_parameter(account: Account) -> None:
    """Several violations in one answer."""
    client = lambda_client(parameter_validation=False)  # else boto3 itself refuses
    with pytest.raises(ClientError) as raised:
        client.update_function_configuration(FunctionName=account.arn("by-boto3"), MemorySize=1, Timeout=1000)
    error = raised.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert error["Message"].startswith("2 validation errors detected: ")
