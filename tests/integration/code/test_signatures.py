"""Functions under a code signing configuration: the real operator, store and API server (§1.5.4)."""

import base64
import re
from typing import Any

import pytest
from tests.integration.control_api.control_api import zipped
from tests.integration.control_plane import ControlPlane
from tests.integration.functions import Functions, condition, eventually
from tests.integration.processes import Installation
from tests.signer import ARN, Signer

from kubelambda.core.code.signed_content import signed_content, with_comment
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import CODE_SIGNING_CONFIGS, EVENTS, LAYERS, SIGNING_PROFILES

CODE = zipped("def handler(event, context):\n    return 1\n")
OTHER = zipped("def handler(event, context):\n    return 2\n")


def as_code(archive: bytes) -> Object:
    """`spec.code` of an archive."""
    return {"zipFile": base64.b64encode(archive).decode()}


@pytest.fixture
def signer(running: Installation, control_plane: ControlPlane, namespace: str) -> Signer:
    """A publisher that the configurations `strict` and `mild` allow, and whose key is known."""
    found = Signer()
    objects = [
        found.profile("release", namespace),
        found.config("strict", namespace),
        found.config("mild", namespace, "Warn"),
    ]
    applied = control_plane.apply(objects)
    assert applied.returncode == 0, applied.stderr
    return found


async def refused(functions: Functions, name: str) -> Object:
    """The status of a function whose code was refused."""
    return await functions.until(name, lambda status: condition(status, "CodeSigned").get("status") == "False")


async def test_signed_code_is_deployed_and_unsigned_code_is_not(signer: Signer, functions: Functions) -> None:
    """Enforce: what runs stays, the condition has Lambda's words, and code that is signed after all replaces it."""
    functions.apply("strict", code=as_code(signer.signed(CODE, job="job-1")), codeSigningConfigArn="strict")
    status = await functions.ready("strict")
    signing = status["deployed"]["signing"]
    assert (signing["profileVersionArn"], signing["job"], signing["untrusted"]) == (ARN, "job-1", [])
    assert condition(status, "CodeSigned")["message"] == f"signed by {ARN}, job job-1"
    deployed = status["deployed"]["code"]["sha256"]

    functions.apply("strict", code=as_code(OTHER), codeSigningConfigArn="strict")
    status = await refused(functions, "strict")
    assert (status["state"], status["lastUpdateStatus"]) == ("Active", "Failed")
    assert status["deployed"]["code"]["sha256"] == deployed
    assert condition(status, "CodeSigned")["reason"] == "CodeVerificationFailed"
    assert "Check the provided signature for strict. (the code: it is not signed)" in status["lastUpdateStatusReason"]

    functions.apply("strict", code=as_code(signer.signed(OTHER)), codeSigningConfigArn="strict")
    status = await functions.ready("strict")
    assert status["deployed"]["code"]["sha256"] != deployed


async def test_code_that_is_not_trusted_is_warned_of(
    signer: Signer, functions: Functions, running: Installation, client: KubeClient
) -> None:
    """Warn: deployed, told in a condition and an Event, and counted once; broken code is refused all the same."""
    functions.apply("mild", code=as_code(CODE), codeSigningConfigArn="mild")
    status = await functions.ready("mild")
    told = condition(status, "CodeSigned")
    assert (told["status"], told["reason"]) == ("False", "SignatureNotTrusted")
    assert told["message"] == "the code: it is not signed"

    async def events() -> list[Object]:
        found = [each async for each in client.each(EVENTS, functions.namespace)]
        return [each for each in found if each["reason"] == "SignatureNotTrusted"]

    assert [each["type"] for each in await eventually(events)] == ["Warning"]
    functions.apply("mild", code=as_code(CODE), codeSigningConfigArn="mild", memorySize=512)
    await functions.ready("mild")
    assert len(await events()) == 1

    functions.apply("mild", code=as_code(OTHER + b"more"), codeSigningConfigArn="mild")
    status = await functions.ready("mild")
    assert condition(status, "CodeSigned")["message"] == "the code: it is not signed"

    broken = with_comment(OTHER, signed_content([signer.signed(CODE)]).comment)
    functions.apply("mild", code=as_code(broken), codeSigningConfigArn="mild")
    status = await refused(functions, "mild")
    assert condition(status, "CodeSigned")["reason"] == "InvalidCodeSignature"
    assert "failed the integrity check" in status["lastUpdateStatusReason"]


async def test_only_what_is_new_is_looked_at(
    signer: Signer, functions: Functions, control_plane: ControlPlane, client: KubeClient
) -> None:
    """A configuration that a function gets, and a publisher that is revoked, change nothing of what runs."""
    functions.apply("late", code=as_code(CODE))
    await functions.ready("late")
    functions.apply("late", code=as_code(CODE), codeSigningConfigArn="strict", memorySize=256)
    status = await functions.ready("late")
    assert condition(status, "CodeSigned")["reason"] == "SignatureNotChecked"
    assert status["deployed"]["memorySize"] == 256

    signed = signer.signed(OTHER, job="leaked")
    functions.apply("late", code=as_code(signed), codeSigningConfigArn="strict")
    await functions.ready("late")
    revoked = signer.profile("release", functions.namespace, revokedJobs=["leaked"])
    assert control_plane.apply([revoked]).returncode == 0

    async def seen() -> bool:
        """By the operator: who is deployed before that stays deployed."""
        body = await client.get(SIGNING_PROFILES, "release", functions.namespace)
        return bool(body["status"]["observedGeneration"] == body["metadata"]["generation"])

    await eventually(seen)
    functions.apply("late", code=as_code(signed), codeSigningConfigArn="strict", memorySize=512)
    assert (await functions.ready("late"))["deployed"]["memorySize"] == 512
    functions.apply("next", code=as_code(signed), codeSigningConfigArn="strict")
    status = await refused(functions, "next")
    assert status["state"] == "Failed"
    assert "the signature of job leaked is revoked" in status["stateReason"]


async def test_a_layer_must_be_signed_as_the_code(
    signer: Signer, functions: Functions, control_plane: ControlPlane, client: KubeClient
) -> None:
    """A new layer is looked at though the code stays; a signed one will do."""
    for name, content in (("plain", CODE), ("signed", signer.signed(CODE))):
        manifest = {
            "apiVersion": "kubelambda.dev/v1alpha1",
            "kind": "Layer",
            "metadata": {"name": name, "namespace": functions.namespace},
            "spec": {"content": as_code(content)},
        }
        assert control_plane.apply([manifest]).returncode == 0

    async def published() -> bool:
        found = [each async for each in client.each(LAYERS, functions.namespace)]
        return [(each.get("status") or {}).get("latestVersion") for each in found] == [1, 1]

    await eventually(published)
    code = as_code(signer.signed(OTHER))
    functions.apply("layered", code=code, layers=["signed:1"], codeSigningConfigArn="strict")
    await functions.ready("layered")
    functions.apply("layered", code=code, layers=["plain:1"], codeSigningConfigArn="strict")
    status = await refused(functions, "layered")
    assert re.search(r"\(layer arn:\S+:layer:plain:1: it is not signed\)", status["lastUpdateStatusReason"])


async def test_what_was_missing_is_found_when_it_comes(
    running: Installation, functions: Functions, control_plane: ControlPlane
) -> None:
    """Neither the configuration nor the key need be there first: the function waits, and says for what."""
    signer = Signer()
    functions.apply("early", code=as_code(signer.signed(CODE)), codeSigningConfigArn="later")
    status = await refused(functions, "early")
    assert condition(status, "CodeSigned")["reason"] == "CodeSigningConfigNotFound"
    assert status["stateReason"].endswith("Check that the provided configuration is not deleted: later.")
    assert control_plane.apply([signer.config("later", functions.namespace)]).returncode == 0
    status = await functions.until(
        "early", lambda status: condition(status, "CodeSigned").get("reason") == "CodeVerificationFailed"
    )
    assert f"no SigningProfile has the key of {ARN}" in status["stateReason"]
    assert control_plane.apply([signer.profile("later", functions.namespace)]).returncode == 0
    await functions.ready("early")


async def test_a_configuration_in_use_is_held(
    signer: Signer, functions: Functions, client: KubeClient, control_plane: ControlPlane
) -> None:
    """By name or by ARN; it has both, says whose key it knows, and goes when nobody names it any more."""

    async def config() -> Object:
        found: Object = (await client.get(CODE_SIGNING_CONFIGS, "strict", functions.namespace)).get("status") or {}
        return found if condition(found, "Ready").get("status") == "True" else {}

    arn = (await eventually(config))["codeSigningConfigArn"]
    assert re.fullmatch(r"arn:aws:lambda:us-east-1:\d{12}:code-signing-config:csc-[a-z0-9]{17}", arn)
    functions.apply("user", code=as_code(signer.signed(CODE)), codeSigningConfigArn=arn)
    await functions.ready("user")

    async def held() -> bool:
        body = await client.get(CODE_SIGNING_CONFIGS, "strict", functions.namespace)
        return bool(body["metadata"].get("finalizers"))

    await eventually(held)
    await client.delete(CODE_SIGNING_CONFIGS, "strict", functions.namespace)

    async def told() -> str:
        body = await client.get(CODE_SIGNING_CONFIGS, "strict", functions.namespace)
        return str(condition(body["status"], "DeletionRefused").get("message", ""))

    assert "Function user" in await eventually(told)
    functions.apply("user", code=as_code(signer.signed(CODE)), codeSigningConfigArn="mild")

    async def gone() -> bool:
        return await client.find(CODE_SIGNING_CONFIGS, "strict", functions.namespace) is None

    await eventually(gone)


async def test_a_key_that_is_none_is_told(
    running: Installation, client: KubeClient, control_plane: ControlPlane, namespace: str
) -> None:
    """The profile says which, and the configuration that its signatures are not trusted."""
    pem = "-----BEGIN PUBLIC KEY-----\nbm8ga2V5\n-----END PUBLIC KEY-----\n"
    profile = Signer().profile("broken", namespace, publicKey=pem)
    assert control_plane.apply([profile, Signer().config("strict", namespace)]).returncode == 0

    async def told(resource: Any, name: str, reason: str) -> str:
        status = (await client.get(resource, name, namespace)).get("status") or {}
        ready = condition(status, "Ready")
        return str(ready["message"]) if ready.get("reason") == reason else ""

    assert ARN in await eventually(lambda: told(SIGNING_PROFILES, "broken", "InvalidKey"))
    assert ARN in await eventually(lambda: told(CODE_SIGNING_CONFIGS, "strict", "KeysMissing"))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"allowedPublishers": {"signingProfileVersionArns": []}}, "should have at least 1 items"),
        ({"allowedPublishers": {"signingProfileVersionArns": [ARN] * 21}}, "must have at most 20 items"),
        ({"allowedPublishers": {"signingProfileVersionArns": ["release"]}}, "should match"),
        ({"codeSigningPolicies": {"untrustedArtifactOnDeployment": "Ignore"}}, 'supported values: "Warn", "Enforce"'),
    ],
)
def test_a_configuration_that_says_nothing_useful_is_refused(
    control_plane: ControlPlane, namespace: str, change: Object, wanted: str
) -> None:
    """By the API server."""
    body = Signer().config("bad", namespace)
    applied = control_plane.apply([{**body, "spec": {**body["spec"], **change}}])
    assert applied.returncode != 0
    assert wanted in applied.stderr


def test_an_image_has_no_signature_here(control_plane: ControlPlane, functions: Functions) -> None:
    """Lambda: code signing is for zip archives."""
    image = {"imageUri": "localhost/app:1"}
    manifest = functions.manifest(
        "image", runtime=None, handler=None, packageType="Image", code=image, codeSigningConfigArn="strict"
    )
    applied = control_plane.apply([manifest])
    assert "Code signing is not supported for functions with packageType Image." in applied.stderr
