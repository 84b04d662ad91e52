"""Functions by the control API: created, read, changed and deleted, against a real API server, operator and store."""

import base64
import hashlib
import re
import uuid

from tests.integration.control_api.control_api import HELLO, ROLE, Api, zipped
from tests.integration.functions import Functions, eventually

from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import FUNCTIONS

SHA256 = base64.b64encode(hashlib.sha256(HELLO).digest()).decode()


async def test_create_function_answers_what_lambda_answers(api: Api) -> None:
    """201 with the whole configuration, Pending, and no LastUpdateStatus (§1.3.1, §1.4.2)."""
    created = api.create("hello", Environment={"Variables": {"GREETING": "hi"}}, MemorySize=256)
    assert created.status == 201
    uuid.UUID(created.headers["x-amzn-requestid"])
    uuid.UUID(created.body.pop("RevisionId"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", created.body.pop("LastModified"))
    assert created.body == {
        "FunctionName": "hello",
        "FunctionArn": api.arn("hello"),
        "Runtime": "python3.13",
        "Role": ROLE,
        "Handler": "index.handler",
        "CodeSize": len(HELLO),
        "CodeSha256": SHA256,
        "Description": "",
        "Timeout": 3,
        "MemorySize": 256,
        "Version": "$LATEST",
        "Environment": {"Variables": {"GREETING": "hi"}},
        "TracingConfig": {"Mode": "PassThrough"},
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/hello"},
        "RuntimeVersionConfig": {"RuntimeVersionArn": "arn:aws:lambda:us-east-1::runtime:python3.13"},
        "State": "Pending",
        "StateReason": "The function is being created.",
        "StateReasonCode": "Creating",
    }
    active = api.settled("hello")
    assert (active["State"], active["LastUpdateStatus"]) == ("Active", "Successful")
    assert (active["CodeSha256"], active["CodeSize"]) == (SHA256, len(HELLO))


async def test_get_function_has_an_address_of_the_code(api: Api) -> None:
    """The address needs no credentials, and what is there is what was uploaded."""
    api.active("hello", Tags={"team": "blue"})
    found = api.function("GET", "hello")
    assert found.body["Code"]["RepositoryType"] == "S3"
    assert found.body["Tags"] == {"team": "blue"}
    location = found.body["Code"]["Location"]
    path = location.removeprefix(f"http://{api.namespace}.lambda.test")
    assert api.call("GET", path).body == HELLO
    assert api.call("GET", path[:-1] + ("0" if path[-1] != "0" else "1")).status == 403


async def test_new_code_replaces_the_old_one(api: Api) -> None:
    """UpdateFunctionCode answers InProgress with the new digest, and ends Successful."""
    api.active("hello")
    before = api.function("GET", "hello", "/configuration").body
    code = zipped("def handler(event, context):\n    return 2\n")
    updated = api.function("PUT", "hello", "/code", {"ZipFile": base64.b64encode(code).decode()})
    assert updated.status == 200
    assert updated.body["LastUpdateStatus"] == "InProgress"
    assert updated.body["LastUpdateStatusReasonCode"] == "Creating"
    assert updated.body["RevisionId"] != before["RevisionId"]
    after = api.settled("hello")
    assert after["CodeSha256"] == base64.b64encode(hashlib.sha256(code).digest()).decode()
    assert after["LastUpdateStatus"] == "Successful"


async def test_a_dry_run_changes_nothing(api: Api) -> None:
    """UpdateFunctionCode with DryRun answers with what would be."""
    api.active("hello")
    code = base64.b64encode(zipped("x = 3")).decode()
    assert api.function("PUT", "hello", "/code", {"ZipFile": code, "DryRun": True}).status == 200
    assert api.function("GET", "hello", "/configuration").body["CodeSha256"] == SHA256


async def test_new_configuration_leaves_what_is_not_named(api: Api, client: KubeClient) -> None:
    """Members that are given are replaced as wholes, others stay; what kubectl shows is the same."""
    api.active("hello", Environment={"Variables": {"AA": "1", "BB": "2"}}, Description="before", Timeout=9)
    changes = {"Environment": {"Variables": {"BB": "3"}}, "MemorySize": 512}
    updated = api.function("PUT", "hello", "/configuration", changes)
    assert updated.status == 200
    assert updated.body["Environment"] == {"Variables": {"BB": "3"}}
    assert (updated.body["MemorySize"], updated.body["Description"], updated.body["Timeout"]) == (512, "before", 9)
    spec = (await client.get(FUNCTIONS, "hello", api.namespace))["spec"]
    assert spec["environment"]["variables"] == {"BB": "3"}
    assert spec["memorySize"] == 512


async def test_delete_function_and_create_it_again_at_once(api: Api) -> None:
    """204 with no body, 404 after it, and the name is free at once."""
    api.active("hello")
    deleted = api.function("DELETE", "hello")
    assert (deleted.status, deleted.body) == (204, b"")
    assert api.create("hello", zipped("x = 4")).status == 201
    assert api.settled("hello")["State"] == "Active"


async def test_functions_that_git_made_are_read_like_any(api: Api, functions: Functions) -> None:
    """What kubectl applied, the API lists, and its ARN reaches it."""
    functions.apply("by-git", memorySize=192)
    await functions.ready("by-git")

    def listed() -> bool:
        found = api.call("GET", "/2015-03-31/functions/").body["Functions"]
        return [(each["FunctionName"], each["MemorySize"]) for each in found] == [("by-git", 192)]

    await eventually(listed)
    assert api.function("GET", api.arn("by-git")).body["Configuration"]["Timeout"] == 3
    assert api.function("GET", f"{api.account}:function:by-git").status == 200


async def test_a_name_that_kubernetes_does_not_take(api: Api, client: KubeClient, functions: Functions) -> None:
    """My_Function gets an object of another name, is found under its own, and never meets my-function."""
    longest = "L" * 64
    for name in ("My_Function", "my-function", longest):
        api.active(name)
        found = api.function("GET", name, "/configuration").body
        assert (found["FunctionName"], found["FunctionArn"]) == (name, api.arn(name))
        assert found["LoggingConfig"]["LogGroup"] == f"/aws/lambda/{name}"
    listed = api.call("GET", "/2015-03-31/functions").body["Functions"]
    assert {each["FunctionName"] for each in listed} == {"My_Function", "my-function", longest}
    functions.apply("theirs", functionName="From_Git")
    assert api.function("GET", "From_Git").status == 200
    assert api.function("GET", "theirs").status == 404
    assert api.function("DELETE", "My_Function").status == 204
    assert api.function("GET", "my-function").status == 200


async def test_list_functions_pages(api: Api) -> None:
    """MaxItems, Marker and NextMarker."""
    names = [f"page-{number}" for number in range(5)]
    for name in names:
        assert api.create(name).status == 201
    found, marker = [], ""
    for _ in range(3):
        page = api.call("GET", f"/2015-03-31/functions?MaxItems=2{marker}").body
        found += [each["FunctionName"] for each in page["Functions"]]
        marker = f"&Marker={page.get('NextMarker')}"
    assert found == names
    assert "NextMarker" not in page


async def test_a_list_shows_what_was_written_before_it(api: Api) -> None:
    """Every member as GetFunctionConfiguration has it; what was deleted is gone from it."""
    api.active("kept", Environment={"Variables": {"STAGE": "live"}}, Description="first", Tags={"team": "a"})
    for number in range(5):
        assert api.create(f"brief-{number}").status == 201
        assert f"brief-{number}" in names(api)
        changed = api.function("PUT", "kept", "/configuration", {"Description": str(number)})
        assert changed.status == 200
        assert api.call("GET", "/2015-03-31/functions").body["Functions"][-1]["Description"] == str(number)
        assert api.function("DELETE", f"brief-{number}").status == 204
        assert names(api) == ["kept"]
        api.settled("kept")

    def same() -> bool:  # the operator's status comes by a watch
        (found,) = api.call("GET", "/2015-03-31/functions").body["Functions"]
        return bool(found == api.function("GET", "kept", "/configuration").body)

    await eventually(same)


def names(api: Api) -> list[str]:
    """What a list of one page has."""
    return [each["FunctionName"] for each in api.call("GET", "/2015-03-31/functions").body["Functions"]]


async def test_reserved_concurrency(api: Api, client: KubeClient) -> None:
    """Put, get and delete; what would leave too little for the others is refused (§5.2)."""
    api.active("hello")
    date = "2017-10-31"
    put = api.function("PUT", "hello", "/concurrency", {"ReservedConcurrentExecutions": 5}, date=date)
    assert (put.status, put.body) == (200, {"ReservedConcurrentExecutions": 5})
    assert api.function("GET", "hello", "/concurrency", date="2019-09-30").body == {"ReservedConcurrentExecutions": 5}
    assert api.function("GET", "hello").body["Concurrency"] == {"ReservedConcurrentExecutions": 5}
    limits = api.call("GET", "/2016-08-19/account-settings").body
    assert limits["AccountLimit"]["UnreservedConcurrentExecutions"] == 995
    assert limits["AccountUsage"] == {"TotalCodeSize": len(HELLO), "FunctionCount": 1}
    refused = api.function("PUT", "hello", "/concurrency", {"ReservedConcurrentExecutions": 901}, date=date)
    assert (refused.status, refused.error) == (400, "InvalidParameterValueException")
    assert "below its minimum value of [100]." in refused.text
    assert api.function("DELETE", "hello", "/concurrency", date=date).status == 204
    assert api.function("GET", "hello", "/concurrency", date="2019-09-30").body == {}


async def test_tags(api: Api) -> None:
    """Tag, list, untag, by ARN."""
    api.active("hello", Tags={"a": "1"})
    path = f"/2017-03-31/tags/{api.arn('hello').replace(':', '%3A')}"
    assert api.call("POST", path, {"Tags": {"b": "2", "c": "3"}}).status == 204
    assert api.call("DELETE", f"{path}?tagKeys=a&tagKeys=b").status == 204
    assert api.call("GET", path).body == {"Tags": {"c": "3"}}
