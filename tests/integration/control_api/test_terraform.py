"""The calls that Terraform's AWS provider makes: create, read, nothing to change, update, destroy.

The provider itself needs a registry that tests cannot reach; these are the sequences of its `aws_lambda_function`,
`_alias`, `_event_source_mapping`, `_provisioned_concurrency_config` and `_function_url`.
"""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from tests.eventually import eventually
from tests.integration.control_api.control_api import HELLO, ROLE, Answered, Api, zipped

CREATE = {
    "FunctionName": "by-terraform",
    "Role": ROLE,
    "Runtime": "python3.13",
    "Handler": "index.handler",
    "Architectures": ["x86_64"],
    "Description": "made by a plan",
    "EphemeralStorage": {"Size": 512},
    "Environment": {"Variables": {"STAGE": "test"}},
    "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/by-terraform"},
    "MemorySize": 256,
    "PackageType": "Zip",
    "Publish": False,
    "Tags": {"team": "blue"},
    "Timeout": 10,
    "TracingConfig": {"Mode": "PassThrough"},
}
# What the provider compares with the configuration when it plans.
COMPARED = (
    "Role",
    "Runtime",
    "Handler",
    "Architectures",
    "Description",
    "EphemeralStorage",
    "Environment",
    "LoggingConfig",
    "MemorySize",
    "PackageType",
    "Timeout",
    "TracingConfig",
)


def refreshed(api: Api) -> dict[str, Any]:
    """What a refresh reads: the function, its code signing, its versions, its policy's absence, its concurrency."""
    function = api.function("GET", "by-terraform").body
    signing = api.function("GET", "by-terraform", "/code-signing-config", date="2020-06-30")
    assert (signing.status, signing.body) == (200, {"FunctionName": "by-terraform"})
    versions = api.function("GET", "by-terraform", "/versions?MaxItems=10000").body["Versions"]
    assert [each["Version"] for each in versions] == ["$LATEST"]
    tags = api.call("GET", f"/2017-03-31/tags/{api.arn('by-terraform').replace(':', '%3A')}").body
    function["Code"].pop("Location")  # signed anew each time
    return {"function": function, "tags": tags}


def test_from_create_to_destroy(api: Api) -> None:
    """After an apply, a plan finds nothing to change."""
    code = zipped("def handler(event, context):\n    return 1\n")
    created = api.call("POST", "/2015-03-31/functions", CREATE | {"Code": {"ZipFile": base64.b64encode(code).decode()}})
    assert created.status == 201
    api.settled("by-terraform")
    state = refreshed(api)
    configuration = state["function"]["Configuration"]
    assert {member: configuration[member] for member in COMPARED} == {member: CREATE[member] for member in COMPARED}
    assert state["tags"] == {"Tags": {"team": "blue"}}
    assert refreshed(api) == state

    change = {"Role": ROLE, "Handler": "index.handler", "Runtime": "python3.13", "MemorySize": 512, "Timeout": 10}
    change |= {"Description": "made by a plan", "Environment": {"Variables": {"STAGE": "live"}}}
    assert api.function("PUT", "by-terraform", "/configuration", change).status == 200
    api.settled("by-terraform")
    newer = base64.b64encode(zipped("def handler(event, context):\n    return 2\n")).decode()
    body = {"ZipFile": newer, "Architectures": ["x86_64"], "DryRun": False, "Publish": False}
    assert api.function("PUT", "by-terraform", "/code", body).status == 200
    api.settled("by-terraform")
    state = refreshed(api)
    assert state["function"]["Configuration"]["MemorySize"] == 512
    assert refreshed(api) == state

    grant = {"StatementId": "bucket", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    assert api.function("POST", "by-terraform", "/policy", grant).status == 201
    assert '"Sid":"bucket"' in api.function("GET", "by-terraform", "/policy").body["Policy"]
    assert api.function("DELETE", "by-terraform", "/policy/bucket").status == 204

    assert api.function("DELETE", "by-terraform").status == 204
    assert api.function("GET", "by-terraform").status == 404


QUEUE = "arn:aws:sqs:us-east-1:123456789012:by-terraform"
MAPPINGS = "/2015-03-31/event-source-mappings"
PROVISIONED = "/provisioned-concurrency?Qualifier=live"


def unchanged(read: Callable[[], Answered]) -> dict[str, Any]:
    """What a refresh reads, twice the same: a plan finds nothing to change."""
    first, second = read(), read()
    assert (first.status, second.body) == (200, first.body), (first, second)
    body: dict[str, Any] = first.body
    return body


def test_an_alias_with_its_url_and_provisioned_concurrency(api: Api) -> None:
    """Each is read back as it was written; what is destroyed is not found by the read after it."""
    assert api.create("by-terraform", HELLO, Publish=True).status == 201

    def alias() -> Answered:
        return api.function("GET", "by-terraform", "/aliases/live")

    members = {"Description": "made by a plan", "FunctionVersion": "1", "RoutingConfig": {}}
    assert api.function("POST", "by-terraform", "/aliases", {**members, "Name": "live"}).status == 201
    found = unchanged(alias)
    assert (found["FunctionVersion"], found["Description"]) == ("1", "made by a plan")
    assert "RoutingConfig" not in found
    assert api.function("PUT", "by-terraform", "/aliases/live", {**members, "Description": "other"}).status == 200
    assert unchanged(alias)["Description"] == "other"

    def provisioned() -> Answered:
        return api.function("GET", "by-terraform", PROVISIONED, date="2019-09-30")

    for units in (1, 2):
        put = {"ProvisionedConcurrentExecutions": units}
        assert api.function("PUT", "by-terraform", PROVISIONED, put, date="2019-09-30").status == 202
        assert provisioned().body["RequestedProvisionedConcurrentExecutions"] == units
    assert api.function("DELETE", "by-terraform", PROVISIONED, date="2019-09-30").status == 204
    assert provisioned().error == "ProvisionedConcurrencyConfigNotFoundException"

    def url() -> Answered:
        return api.function("GET", "by-terraform", "/url?Qualifier=live", date="2021-10-31")

    rules = {"AllowCredentials": True, "AllowOrigins": ["*"], "MaxAge": 86400}
    config = {"AuthType": "NONE", "Cors": rules, "InvokeMode": "BUFFERED"}
    assert api.function("POST", "by-terraform", "/url?Qualifier=live", config, date="2021-10-31").status == 201
    assert {member: unchanged(url)[member] for member in config} == config
    assert unchanged(url)["FunctionArn"] == f"{api.arn('by-terraform')}:live"
    changed = {**config, "AuthType": "AWS_IAM", "Cors": {}}
    assert api.function("PUT", "by-terraform", "/url?Qualifier=live", changed, date="2021-10-31").status == 200
    assert "Cors" not in unchanged(url)
    assert api.function("DELETE", "by-terraform", "/url?Qualifier=live", date="2021-10-31").status == 204
    assert url().error == "ResourceNotFoundException"
    assert api.function("DELETE", "by-terraform", "/aliases/live").status == 204
    assert alias().error == "ResourceNotFoundException"


@pytest.mark.usefixtures("poller")
async def test_an_event_source_mapping(api: Api) -> None:
    """The provider waits for its state after each change, reads its tags, and waits until it is gone."""
    api.active("by-terraform")
    members = {"BatchSize": 5, "Enabled": True, "MaximumBatchingWindowInSeconds": 0, "Tags": {"team": "blue"}}
    made = api.call("POST", MAPPINGS, {**members, "EventSourceArn": QUEUE, "FunctionName": api.arn("by-terraform")})
    assert made.status == 202, made
    path, arn = f"{MAPPINGS}/{made.body['UUID']}", made.body["EventSourceMappingArn"]

    def read() -> Answered:
        return api.call("GET", path)

    def in_state(state: str) -> Callable[[], bool]:
        return lambda: bool(read().body.get("State") == state)

    await eventually(in_state("Enabled"))
    found = unchanged(read)
    assert (found["BatchSize"], found["FunctionArn"]) == (5, api.arn("by-terraform"))
    tags = api.call("GET", f"/2017-03-31/tags/{arn.replace(':', '%3A')}")
    assert (tags.status, tags.body) == (200, {"Tags": {"team": "blue"}})
    assert api.call("PUT", path, {"BatchSize": 7, "Enabled": False, "FunctionName": "by-terraform"}).status == 202
    await eventually(in_state("Disabled"))
    assert unchanged(read)["BatchSize"] == 7
    assert api.call("DELETE", path).status == 202
    await eventually(lambda: read().status == 404)
