"""Layers by the control API: published, read, used by functions, deleted, and their policies."""

import base64
import hashlib
import json
import re
from functools import partial
from typing import Any

from tests.integration.control_api.control_api import Answered, Api, zipped
from tests.integration.control_api.test_writers import at_once

from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import LAYERS

PATH = "/2018-10-31/layers"
CONTENT = zipped("VALUE = 1\n", "python/shared.py")


def published(api: Api, layer: str, content: bytes = CONTENT, **more: Any) -> Answered:
    """PublishLayerVersion."""
    members = {"Content": {"ZipFile": base64.b64encode(content).decode()}, **more}
    return api.call("POST", f"{PATH}/{layer}/versions", members)


def layer_arn(api: Api, layer: str) -> str:
    """ARN of a layer here."""
    return f"arn:aws:lambda:us-east-1:{api.account}:layer:{layer}"


async def test_publish_answers_what_lambda_answers(api: Api, client: KubeClient) -> None:
    """201 with number, digest and an address of the archive; the same again is another version."""
    more: dict[str, Any] = {"Description": "shared", "CompatibleRuntimes": ["python3.13"], "LicenseInfo": "MIT"}
    first = published(api, "shared", CompatibleArchitectures=["x86_64"], **more)
    assert first.status == 201, first
    content = first.body.pop("Content")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", first.body.pop("CreatedDate"))
    assert first.body == {
        "LayerArn": layer_arn(api, "shared"),
        "LayerVersionArn": f"{layer_arn(api, 'shared')}:1",
        "Version": 1,
        "CompatibleArchitectures": ["x86_64"],
        **more,
    }
    assert content["CodeSha256"] == base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    assert content["CodeSize"] == len(CONTENT)
    location = content["Location"].removeprefix(f"http://{api.namespace}.lambda.test")
    assert api.call("GET", location).body == CONTENT
    assert published(api, "shared", CompatibleArchitectures=["x86_64"], **more).body["Version"] == 2
    assert (await client.get(LAYERS, "shared", api.namespace))["spec"]["description"] == "shared"

    found = api.call("GET", f"{PATH}/shared/versions/1").body
    arn = f"{layer_arn(api, 'shared')}:1".replace(":", "%3A")
    by_arn = api.call("GET", f"{PATH}?find=LayerVersion&Arn={arn}").body
    assert found["LayerVersionArn"] == by_arn["LayerVersionArn"] == f"{layer_arn(api, 'shared')}:1"
    listed = api.call("GET", f"{PATH}/shared/versions").body["LayerVersions"]
    assert [each["Version"] for each in listed] == [2, 1]


def test_lists_know_what_layers_are_for(api: Api) -> None:
    """By runtime and architecture; a layer is listed with its newest version that fits."""
    published(api, "one", CompatibleRuntimes=["python3.13"])
    published(api, "one", zipped("x = 2"), CompatibleRuntimes=["nodejs22.x"])
    published(api, "two")
    layers = api.call("GET", PATH).body["Layers"]
    assert [(each["LayerName"], each["LatestMatchingVersion"]["Version"]) for each in layers] == [
        ("one", 2),
        ("two", 1),
    ]
    layers = api.call("GET", f"{PATH}?CompatibleRuntime=python3.13").body["Layers"]
    assert [(each["LayerName"], each["LatestMatchingVersion"]["Version"]) for each in layers] == [("one", 1)]
    versions = api.call("GET", f"{PATH}/one/versions?CompatibleRuntime=nodejs22.x").body["LayerVersions"]
    assert [each["Version"] for each in versions] == [2]
    assert api.call("GET", f"{PATH}/absent/versions").body == {"LayerVersions": []}


def test_of_many_that_publish_at_once_each_gets_a_version(api: Api) -> None:
    """Nobody's content is skipped, and no number is given twice."""
    contents = [zipped(f"x = {number}") for number in range(4)]
    answers = at_once(*[partial(published, api, "busy", content) for content in contents])
    assert {found.status for found in answers} == {201}
    assert sorted(found.body["Version"] for found in answers) == [1, 2, 3, 4]
    digests = {base64.b64encode(hashlib.sha256(content).digest()).decode() for content in contents}
    assert {found.body["Content"]["CodeSha256"] for found in answers} == digests


def test_a_deleted_number_never_comes_again(api: Api) -> None:
    """Deleting what is not there does no harm, and the next version counts on."""
    published(api, "gone")
    for _ in range(2):
        assert api.call("DELETE", f"{PATH}/gone/versions/1").status == 204
    assert api.call("GET", f"{PATH}/gone/versions/1").status == 404
    assert api.call("GET", f"{PATH}/gone/versions").body == {"LayerVersions": []}
    assert published(api, "gone").body["Version"] == 2


def test_functions_use_layers(api: Api) -> None:
    """By ARN, at create and at update; what cannot be used is refused at once with Lambda's words (Appendix A)."""
    arns = [published(api, layer).body["LayerVersionArn"] for layer in ("My_Layer", "second")]
    newer = published(api, "second", zipped("x = 2")).body["LayerVersionArn"]
    api.active("layered", Layers=arns)
    found = api.function("GET", "layered", "/configuration").body["Layers"]
    assert [(each["Arn"], each["CodeSize"]) for each in found] == [(arn, len(CONTENT)) for arn in arns]
    assert api.function("PUT", "layered", "/configuration", {"Layers": [newer]}).status == 200
    assert [each["Arn"] for each in api.settled("layered")["Layers"]] == [newer]
    refused = api.function("PUT", "layered", "/configuration", {"Layers": [arns[1], newer]})
    text = "Two different versions of the same layer are not allowed to be referenced in the same function. "
    assert (refused.status, refused.text) == (400, f"{text}{arns[1]} and {newer} are versions of the same layer.")
    absent = f"{layer_arn(api, 'second')}:9"
    refused = api.create("fresh", Layers=[absent])
    assert (refused.status, refused.text) == (400, f"Layer version {absent} does not exist.")
    elsewhere = newer.replace("us-east-1", "eu-west-1")
    refused = api.create("fresh", Layers=[elsewhere])
    text = "Layers are not in the same region as the function. Layers are expected to be in region us-east-1."
    assert (refused.status, refused.text) == (400, text)
    assert api.function("GET", "fresh").status == 404
    assert api.function("PUT", "layered", "/configuration", {"Layers": []}).status == 200
    assert "Layers" not in api.settled("layered")


def test_a_layer_that_is_used_is_gone_for_the_api_and_serves_on(api: Api) -> None:
    """As at AWS, where functions keep the layers that they have."""
    arn = published(api, "held").body["LayerVersionArn"]
    api.active("user", Layers=[arn])
    assert api.call("DELETE", f"{PATH}/held/versions/1").status == 204
    assert api.call("GET", f"{PATH}/held/versions/1").status == 404
    assert api.function("GET", "user", "/configuration").body["Layers"][0]["Arn"] == arn


def test_the_policy_of_a_version(api: Api) -> None:
    """Add, get, remove, with revisions of the policy alone."""
    arn = published(api, "shared").body["LayerVersionArn"]
    path = f"{PATH}/shared/versions/1/policy"
    statement = {"StatementId": "s1", "Action": "lambda:GetLayerVersion", "Principal": "*"}
    added = api.call("POST", path, statement)
    assert added.status == 201
    written = {
        "Sid": "s1",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "lambda:GetLayerVersion",
        "Resource": arn,
    }
    assert json.loads(added.body["Statement"]) == written
    found = api.call("GET", path).body
    assert found["RevisionId"] == added.body["RevisionId"]
    assert json.loads(found["Policy"]) == {"Version": "2012-10-17", "Id": "default", "Statement": [written]}
    assert api.call("POST", path, statement).status == 409
    stale = api.call("DELETE", f"{path}/s1?RevisionId=stale")
    assert (stale.status, stale.error) == (412, "PreconditionFailedException")
    assert "GetLayerPolicy" in stale.text
    assert api.call("DELETE", f"{path}/s1?RevisionId={found['RevisionId']}").status == 204
    assert api.call("GET", path).text == "No policy is associated with the given resource."
    assert published(api, "shared").body["Version"] == 2, "a policy publishes nothing"


def test_a_layer_of_another_account_takes_its_permission(api: Api, guest: Api) -> None:
    """To read it and to use it; without, it is not told whether there is one; what is deployed stays when it goes."""
    arn = published(api, "tools").body["LayerVersionArn"]
    quoted = arn.replace(":", "%3A")

    def denial(of: str) -> tuple[int, str, str]:
        text = (
            f"User: arn:aws:iam::{guest.account}:root is not authorized to perform: lambda:GetLayerVersion on "
            f"resource: {of} because no resource-based policy allows the lambda:GetLayerVersion action"
        )
        return 403, "AccessDeniedException", text

    for wanted in (arn, arn.replace(":tools:", ":none:"), arn.replace(api.account, "999999999999")):
        for refused in (
            guest.create("user", Layers=[wanted]),
            guest.call("GET", f"{PATH}?find=LayerVersion&Arn={wanted.replace(':', '%3A')}"),
        ):
            assert (refused.status, refused.error, refused.text) == denial(wanted)
    path = f"{PATH}/tools/versions/1/policy"
    statement = {"StatementId": "s1", "Action": "lambda:GetLayerVersion", "Principal": guest.account}
    assert api.call("POST", path, statement).status == 201
    by_arn = guest.call("GET", f"{PATH}?find=LayerVersion&Arn={quoted}")
    by_name = guest.call("GET", f"{PATH}/{quoted.removesuffix('%3A1')}/versions/1")
    for found in (by_arn, by_name):
        assert (found.status, found.body["LayerVersionArn"]) == (200, arn)
    location = by_arn.body["Content"]["Location"].removeprefix(f"http://{guest.namespace}.lambda.test")
    assert guest.call("GET", location).body == CONTENT
    guest.active("user", Layers=[arn])
    layers = [{"Arn": arn, "CodeSize": len(CONTENT)}]
    assert guest.function("GET", "user", "/configuration").body["Layers"] == layers
    assert api.call("DELETE", f"{path}/s1").status == 204
    refused = guest.call("GET", f"{PATH}?find=LayerVersion&Arn={quoted}")
    assert (refused.status, refused.error, refused.text) == denial(arn)
    assert guest.create("another", Layers=[arn]).status == 403
    assert guest.function("PUT", "user", "/configuration", {"MemorySize": 256}).status == 200
    settled = guest.settled("user")
    assert (settled["State"], settled["LastUpdateStatus"], settled["Layers"]) == ("Active", "Successful", layers)


def test_others_may_only_read_what_is_shared(api: Api, guest: Api) -> None:
    """No policy lets them list, delete or publish."""
    arn = published(api, "tools").body["LayerVersionArn"]
    statement = {"StatementId": "s1", "Action": "lambda:GetLayerVersion", "Principal": "*"}
    assert api.call("POST", f"{PATH}/tools/versions/1/policy", statement).status == 201
    layer = arn.removesuffix(":1").replace(":", "%3A")
    assert guest.call("GET", f"{PATH}/{layer}/versions/1").status == 200
    for method, rest in (("GET", ""), ("DELETE", "/1"), ("GET", "/1/policy")):
        refused = guest.call(method, f"{PATH}/{layer}/versions{rest}")
        assert (refused.status, refused.error) == (403, "AccessDeniedException"), (method, rest)
    assert api.call("GET", f"{PATH}/tools/versions/1").status == 200


def test_a_layer_that_cannot_be_published_says_why(api: Api) -> None:
    """And nothing is made."""
    refused = published(api, "broken", b"no archive")
    assert (refused.status, refused.error) == (400, "InvalidParameterValueException")
    refused = api.call("POST", f"{PATH}/broken/versions", {"Content": {"S3Bucket": "bucket", "S3Key": "key"}})
    assert (refused.status, refused.error) == (403, "AccessDeniedException")
    assert f"there is no Secret kubelambda-s3 of namespace {api.namespace}" in refused.text
    assert api.call("GET", PATH).body == {"Layers": []}
