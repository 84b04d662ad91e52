"""Which tags functions, event source mappings and code signing configurations may have (§1.3)."""

from typing import Any
from urllib.parse import quote

import pytest
from tests.integration.control_api.control_api import Answered, Api

from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import FUNCTIONS

RESERVED = "aws: prefixed tag key names are not allowed for external use."
PUBLISHER = "arn:aws:signer:us-east-1:123456789012:/signing-profiles/release/abcdefghij"


def path_of(arn: str) -> str:
    """Where the tags of a resource are."""
    return f"/2017-03-31/tags/{quote(arn, safe='')}"


def tag(api: Api, tags: dict[str, str]) -> Answered:
    """Of a function that is there."""
    return api.call("POST", path_of(api.arn("hello")), {"Tags": tags})


def new_function(api: Api, tags: dict[str, str]) -> Answered:
    """Made with tags."""
    return api.create("new", Tags=tags)


def new_mapping(api: Api, tags: dict[str, str]) -> Answered:
    """Made with tags."""
    queue = "arn:aws:sqs:us-east-1:123456789012:queue"
    members = {"FunctionName": "hello", "EventSourceArn": queue, "Tags": tags}
    return api.call("POST", "/2015-03-31/event-source-mappings", members)


def new_signing_config(api: Api, tags: dict[str, str]) -> Answered:
    """Made with tags."""
    members = {"AllowedPublishers": {"SigningProfileVersionArns": [PUBLISHER]}, "Tags": tags}
    return api.call("POST", "/2020-04-22/code-signing-configs", members)


@pytest.mark.parametrize("operation", [tag, new_function, new_mapping, new_signing_config])
def test_tags_are_refused_as_lambda_refuses_them(api: Api, operation: Any) -> None:
    """Keys of AWS, in any case, what is too long or too many; up to that everything is taken."""
    api.active("hello")
    for key in ("aws:cloudformation:stack-name", "AWS:team", "aws:"):
        refused = operation(api, {"team": "blue", key: "mine"})
        assert (refused.status, refused.error, refused.text) == (400, "InvalidParameterValueException", RESERVED)
    unfit = ({"k" * 129: ""}, "keys"), ({"": ""}, "keys"), ({"k": "v" * 257}, "value"), ({"k": ","}, "value")
    for tags, which in unfit:
        refused = operation(api, tags)
        assert (refused.status, refused.error) == (400, "ValidationException")
        assert f"at 'tags' failed to satisfy constraint: Map {which} must satisfy constraint: [" in refused.text
    refused = operation(api, {f"k{number}": "" for number in range(51)})
    assert refused.text == "Number of tags exceeds resource tag limit."
    most = {"k" * 128: "v" * 256, "not aws:": "aws:", "é @": "", **{f"k{number}": "" for number in range(47)}}
    assert operation(api, most).status in (201, 202, 204)


async def test_tags_of_aws_that_a_manifest_brought_keep_nobody_from_others(api: Api, client: KubeClient) -> None:
    """A function that was imported has those of its stack."""
    api.active("hello", Tags={"team": "blue"})
    metadata = {"name": "hello", "namespace": api.namespace}
    manifest = {"metadata": metadata, "spec": {"tags": {"aws:cloudformation:stack-name": "shop"}}}
    await client.apply(FUNCTIONS, manifest, manager="kubectl")
    assert tag(api, {"team": "red"}).status == 204
    assert api.call("GET", path_of(api.arn("hello"))).body["Tags"] == {
        "team": "red",
        "aws:cloudformation:stack-name": "shop",
    }
