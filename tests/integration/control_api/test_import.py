"""`kubelambda import account`: functions of one account as manifests, and those as functions of another."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.integration.control_api.control_api import HELLO, Api, zipped
from tests.integration.control_plane import ControlPlane
from tests.integration.processes import Installation

from kubelambda.core.account.identity import account_id
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import NAMESPACES

QUEUE = "arn:aws:sqs:us-east-1:123456789012:imported"


@pytest.fixture
async def there(serving: tuple[Installation, str], client: KubeClient) -> Api:
    """A caller in the default account: what names no account is there."""
    uid = (await client.get(NAMESPACES, "default"))["metadata"]["uid"]
    return Api(serving[1], "default", account_id(uid))


def run_import(address: str, folder: Path, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The command against an endpoint."""
    command = [sys.executable, "-m", "kubelambda.cli", "import", "account", "--endpoint-url", address]
    command += ["--output", str(folder), f"--function={name}", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_what_is_imported_is_the_same_function(
    there: Api, api: Api, control_plane: ControlPlane, tmp_path: Path
) -> None:
    """Configuration, code, layer, alias, mapping, policy, tags, concurrency and URL come with it; it becomes active."""
    content = base64.b64encode(zipped("VALUE = 1\n", "python/shared.py")).decode()
    layer = there.call("POST", "/2018-10-31/layers/Shared_Layer/versions", {"Content": {"ZipFile": content}}).body
    more: dict[str, Any] = {"Timeout": 7, "Environment": {"Variables": {"STAGE": "live"}}, "Tags": {"team": "blue"}}
    there.active("Imported_One", Layers=[layer["LayerVersionArn"]], **more)
    grant = {"StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    grant["SourceArn"] = "arn:aws:s3:::bucket"
    source = {"FunctionName": "Imported_One:live", "EventSourceArn": QUEUE, "BatchSize": 4}
    reserve = {"ReservedConcurrentExecutions": 2}
    made = [
        there.function("POST", "Imported_One", "/versions", {}),
        there.function("POST", "Imported_One", "/aliases", {"Name": "live", "FunctionVersion": "1"}),
        there.function("POST", "Imported_One", "/policy", grant),
        there.function("PUT", "Imported_One", "/concurrency", reserve, date="2017-10-31"),
        there.function("PUT", "Imported_One", "/event-invoke-config", {"MaximumRetryAttempts": 0}, date="2019-09-25"),
        there.call("POST", "/2015-03-31/event-source-mappings", source),
    ]
    url = {"AuthType": "NONE", "Cors": {"AllowOrigins": ["*"], "MaxAge": 60}}
    provisioned = {"ProvisionedConcurrentExecutions": 1}
    signers = {"AllowedPublishers": {"SigningProfileVersionArns": ["arn:aws:signer:us-east-1:123456789012:/a/b"]}}
    config = there.call("POST", "/2020-04-22/code-signing-configs", signers).body["CodeSigningConfig"]
    signing = {"CodeSigningConfigArn": config["CodeSigningConfigArn"]}
    live = "?Qualifier=live"
    made += [
        there.function("POST", "Imported_One", "/url", url, date="2021-10-31"),
        there.function("POST", "Imported_One", f"/url{live}", {"AuthType": "AWS_IAM"}, date="2021-10-31"),
        there.function("PUT", "Imported_One", f"/provisioned-concurrency{live}", provisioned, date="2019-09-30"),
        there.function("PUT", "Imported_One", "/code-signing-config", signing, date="2020-06-30"),
    ]
    assert {answer.status for answer in made} <= {200, 201, 202}, made

    finished = run_import(there.address, tmp_path, "Imported_One")
    assert finished.returncode == 0, finished.stderr
    assert "its code signing configuration was left out, the code must be signed again for it" in finished.stderr
    applied = control_plane.kubectl("apply", "--namespace", api.namespace, "--filename", str(tmp_path))
    assert applied.returncode == 0, applied.stderr

    found = api.until("Imported_One", lambda body: body["State"] == "Active")
    original = there.function("GET", "Imported_One", "/configuration").body
    for member in ("CodeSha256", "Timeout", "Handler", "Runtime", "Environment", "MemorySize"):
        assert found[member] == original[member], member
    assert [each["CodeSize"] for each in found["Layers"]] == [each["CodeSize"] for each in original["Layers"]]
    whole = api.function("GET", "Imported_One").body
    assert (whole["Tags"], whole["Concurrency"]) == (more["Tags"], reserve)
    statement = json.loads(api.function("GET", "Imported_One", "/policy").body["Policy"])["Statement"][0]
    assert (statement["Sid"], statement["Condition"]) == ("s3", {"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"}})
    copied = api.function("GET", "Imported_One", "/event-invoke-config", date="2019-09-25").body
    assert copied["MaximumRetryAttempts"] == 0
    copied = api.function("GET", "Imported_One", "/url", date="2021-10-31").body
    assert (copied["AuthType"], copied["Cors"]) == ("NONE", url["Cors"])
    copied = api.function("GET", "Imported_One", f"/url{live}", date="2021-10-31").body
    assert copied["AuthType"] == "AWS_IAM"
    aliases = json.loads(
        control_plane.kubectl("get", "aliases", "--namespace", api.namespace, "--output", "json").stdout
    )
    [spec] = [each["spec"] for each in aliases["items"]]
    assert spec["provisionedConcurrency"]["provisionedConcurrentExecutions"] == 1
    [mapping] = api.call("GET", "/2015-03-31/event-source-mappings").body["EventSourceMappings"]
    assert (mapping["EventSourceArn"], mapping["BatchSize"]) == (QUEUE, 4)
    assert mapping["FunctionArn"] == f"{api.arn('Imported_One')}:live"


def test_a_function_that_is_not_there_is_named(there: Api, tmp_path: Path) -> None:
    """And nothing is written."""
    finished = run_import(there.address, tmp_path / "out", "absent")
    assert finished.returncode == 1
    assert "there is no function absent" in finished.stderr
    assert not (tmp_path / "out").exists()


def test_code_of_both_is_the_same_archive(there: Api, tmp_path: Path) -> None:
    """With an address for archives they are written beside the manifests."""
    there.active("imported-two")
    finished = run_import(there.address, tmp_path, "imported-two", "--code-url=https://files.example")
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "imported-two.zip").read_bytes() == HELLO
    assert "url: https://files.example/imported-two.zip" in (tmp_path / "imported-two.yaml").read_text()
