"""Code signing by the control API: configurations, functions that have one, code that is refused at once (§1.5.4)."""

import base64
from typing import Any
from urllib.parse import quote

import pytest
from tests.integration.control_api.control_api import Answered, Api, zipped
from tests.integration.control_plane import ControlPlane
from tests.signer import ARN, Signer

from kubelambda.core.code.signed_content import signed_content, with_comment
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import CODE_SIGNING_CONFIGS, FUNCTIONS

CONFIGS = "/2020-04-22/code-signing-configs"
PER_FUNCTION = "/code-signing-config"
CODE = zipped("def handler(event, context):\n    return 1\n")
OTHER = zipped("def handler(event, context):\n    return 2\n")
REFUSED = (
    "Lambda cannot deploy the function. The function or layer might be signed using a signature that the client is not "
    "configured to accept. Check the provided signature for "
)


@pytest.fixture
def signer(control_plane: ControlPlane, api: Api) -> Signer:
    """A publisher whose key the account knows."""
    found = Signer()
    assert control_plane.apply([found.profile("release", api.namespace)]).returncode == 0
    return found


def created(api: Api, policy: str = "Enforce", **more: Any) -> str:
    """ARN of a new configuration that allows the publisher."""
    members = {
        "AllowedPublishers": {"SigningProfileVersionArns": [ARN]},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": policy},
        **more,
    }
    found = api.call("POST", CONFIGS, members)
    assert found.status == 201, found
    return str(found.body["CodeSigningConfig"]["CodeSigningConfigArn"])


def config(api: Api, method: str, arn: str, body: Any = None, rest: str = "") -> Answered:
    """A call about one configuration."""
    return api.call(method, f"{CONFIGS}/{quote(arn, safe='')}{rest}", body)


def updated(api: Api, name: str, code: bytes, **more: Any) -> Answered:
    """UpdateFunctionCode."""
    return api.function("PUT", name, "/code", {"ZipFile": base64.b64encode(code).decode(), **more})


async def test_a_configuration_is_made_changed_listed_and_deleted(api: Api, client: KubeClient) -> None:
    """What the API makes is an object under its id; what it does not name stays; tags are its own."""
    arn = created(api, Description="of the team", Tags={"team": "a"})
    config_id = arn.rpartition(":")[2]
    body = await client.get(CODE_SIGNING_CONFIGS, config_id, api.namespace)
    assert body["spec"]["codeSigningPolicies"] == {"untrustedArtifactOnDeployment": "Enforce"}
    assert api.call("GET", f"/2017-03-31/tags/{quote(arn, safe='')}").body == {"Tags": {"team": "a"}}

    changed = config(api, "PUT", arn, {"CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Warn"}})
    found = config(api, "GET", arn).body["CodeSigningConfig"]
    assert found == changed.body["CodeSigningConfig"]
    assert found.pop("LastModified").endswith(".000+0000")
    assert found == {
        "CodeSigningConfigId": config_id,
        "CodeSigningConfigArn": arn,
        "Description": "of the team",
        "AllowedPublishers": {"SigningProfileVersionArns": [ARN]},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Warn"},
    }
    other = created(api)
    listed = api.call("GET", f"{CONFIGS}?MaxItems=1").body
    more = api.call("GET", f"{CONFIGS}?Marker={listed['NextMarker']}").body
    assert "NextMarker" not in more
    arns = [each["CodeSigningConfigArn"] for each in listed["CodeSigningConfigs"] + more["CodeSigningConfigs"]]
    assert sorted(arns) == sorted([arn, other])
    assert config(api, "DELETE", arn).status == 204
    assert config(api, "GET", arn).text == f"The Lambda code signing configuration {arn} can not be found."


def test_a_configuration_of_kubectl_has_an_arn_too(api: Api, control_plane: ControlPlane, signer: Signer) -> None:
    """It is listed, and functions can have it; the Function may say its name."""
    assert control_plane.apply([signer.config("release", api.namespace)]).returncode == 0
    (found,) = api.call("GET", CONFIGS).body["CodeSigningConfigs"]
    arn = found["CodeSigningConfigArn"]
    assert config(api, "GET", arn).body["CodeSigningConfig"] == found
    api.active("hello", signer.signed(CODE), CodeSigningConfigArn=arn)
    patch = '{"spec": {"codeSigningConfigArn": "release"}}'
    command = ("patch", "function", "hello", "--namespace", api.namespace, "--type=merge", "--patch", patch)
    assert control_plane.kubectl(*command).returncode == 0
    assert api.function("GET", "hello", PER_FUNCTION, date="2020-06-30").body["CodeSigningConfigArn"] == arn


async def test_code_that_is_not_trusted_is_refused_at_once(api: Api, client: KubeClient, signer: Signer) -> None:
    """By CreateFunction, UpdateFunctionCode and DryRun, with nothing made of it; what is signed goes through."""
    arn = created(api)
    found = api.create("hello", CODE, CodeSigningConfigArn=arn)
    assert (found.status, found.error) == (400, "CodeVerificationFailedException")
    assert found.text == f"{REFUSED}hello. (the code: it is not signed)"
    assert await client.find(FUNCTIONS, "hello", api.namespace) is None

    api.active("hello", signer.signed(CODE, job="job-1"), CodeSigningConfigArn=arn)
    members = api.function("GET", "hello", "/configuration").body
    assert members["SigningProfileVersionArn"] == ARN
    assert members["SigningJobArn"] == "arn:aws:signer:us-east-1:123456789012:/signing-jobs/job-1"
    digest = members["CodeSha256"]
    expired = signer.signed(OTHER, signed_at=1_700_000_000)
    stranger = Signer(ARN.replace("release", "other")).signed(OTHER)
    for code, text in (
        (OTHER, "it is not signed"),
        (expired, "its signature was good until 2023-11-14T23:13:20Z"),
        (stranger, f"which {arn} does not allow"),
    ):
        for more in ({}, {"DryRun": True}):
            found = updated(api, "hello", code, **more)
            assert (found.status, found.error) == (400, "CodeVerificationFailedException")
            assert found.text.startswith(f"{REFUSED}{api.arn('hello')}. (the code: ")
            assert text in found.text
    assert api.function("GET", "hello", "/configuration").body["CodeSha256"] == digest
    assert updated(api, "hello", signer.signed(OTHER), DryRun=True).status == 200
    assert updated(api, "hello", signer.signed(OTHER)).status == 200
    api.deployed("hello")


def test_broken_code_is_refused_by_warn_too(api: Api, signer: Signer) -> None:
    """What is merely not trusted is deployed with a warning."""
    arn = created(api, "Warn")
    api.active("hello", CODE, CodeSigningConfigArn=arn)
    assert "SigningJobArn" not in api.function("GET", "hello", "/configuration").body
    broken = with_comment(OTHER, signed_content([signer.signed(CODE)]).comment)
    found = updated(api, "hello", broken)
    assert (found.status, found.error) == (400, "InvalidCodeSignatureException")
    assert found.text.startswith("Lambda cannot deploy the function. The code signature failed the integrity check.")
    assert "Message" in found.body


def test_a_function_gets_and_loses_a_configuration(api: Api, signer: Signer) -> None:
    """What runs stays; who has it is listed; while somebody has it, it cannot be deleted."""
    arn = created(api)
    api.active("hello", CODE)
    assert api.function("GET", "hello", PER_FUNCTION, date="2020-06-30").body == {"FunctionName": "hello"}
    put = api.function("PUT", "hello", PER_FUNCTION, {"CodeSigningConfigArn": arn}, date="2020-06-30")
    assert (put.status, put.body) == (200, {"FunctionName": "hello", "CodeSigningConfigArn": arn})
    assert api.function("GET", "hello", PER_FUNCTION, date="2020-06-30").body == put.body
    api.deployed("hello")
    assert config(api, "GET", arn, rest="/functions").body == {"FunctionArns": [api.arn("hello")]}
    found = config(api, "DELETE", arn)
    assert (found.status, found.error) == (409, "ResourceConflictException")
    assert found.text.endswith(f"{arn} is the one of hello")
    assert updated(api, "hello", OTHER).error == "CodeVerificationFailedException"
    assert api.function("DELETE", "hello", PER_FUNCTION, date="2020-06-30").status == 204
    assert config(api, "GET", arn, rest="/functions").body == {"FunctionArns": []}
    api.settled("hello")
    assert updated(api, "hello", OTHER).status == 200
    assert config(api, "DELETE", arn).status == 204


def test_a_layer_must_be_signed_too(api: Api, signer: Signer) -> None:
    """By CreateFunction and by UpdateFunctionConfiguration; one that the function has is not looked at again."""
    arn = created(api)
    layers = {}
    for name, content in (("plain", CODE), ("signed", signer.signed(CODE))):
        members = {"Content": {"ZipFile": base64.b64encode(content).decode()}}
        found = api.call("POST", f"/2018-10-31/layers/{name}/versions", members)
        layers[name] = found.body["LayerVersionArn"]
    found = api.create("hello", signer.signed(OTHER), CodeSigningConfigArn=arn, Layers=[layers["plain"]])
    assert found.text == f"{REFUSED}hello. (layer {layers['plain']}: it is not signed)"
    api.active("hello", signer.signed(OTHER), CodeSigningConfigArn=arn, Layers=[layers["signed"]])
    found = api.function("PUT", "hello", "/configuration", {"Layers": [layers["plain"]]})
    assert (found.status, found.error) == (400, "CodeVerificationFailedException")
    assert api.function("PUT", "hello", "/configuration", {"Layers": [layers["signed"]], "Timeout": 9}).status == 200


def test_a_configuration_of_another_account_is_none(api: Api, guest: Api) -> None:
    """Neither read by its ARN as one's own, nor put on a function."""
    arn = created(guest)
    api.active("hello", CODE)
    put = api.function("PUT", "hello", PER_FUNCTION, {"CodeSigningConfigArn": arn}, date="2020-06-30")
    assert (put.status, put.error) == (404, "CodeSigningConfigNotFoundException")
    assert api.create("other", CODE, CodeSigningConfigArn=arn).error == "CodeSigningConfigNotFoundException"
    assert api.call("GET", CONFIGS).body == {"CodeSigningConfigs": []}
