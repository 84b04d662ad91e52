"""The calls that Terraform's AWS provider makes for a function: create, read, nothing to change, update, destroy.

The provider itself needs a registry that tests cannot reach; this is the sequence of its `aws_lambda_function`.
"""

import base64
from typing import Any

from tests.integration.control_api.control_api import ROLE, Api, zipped

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
