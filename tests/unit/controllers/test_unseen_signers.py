"""Code signing configurations and publishers that no event showed yet: whoever makes them known deploys at once."""

import io
import zipfile
from typing import Any

import pytest
from tests.signer import ARN, Signer
from tests.unit.controllers.clusters import NOBODY, Named, Written, asker, body_of, context_of, spec_of

from kubelambda.api.kinds.deployed_configuration import DeployedCode
from kubelambda.api.kinds.deployed_signing import DeployedSigning
from kubelambda.api.reasons import Reason
from kubelambda.controllers.code import code_signing_config
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.code.signing_facts import WATCHED_SIGNING_CONFIGS
from kubelambda.controllers.function.function_signing import signing_of
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.core.code.signed_content import signed_content
from kubelambda.core.function.observation import Problem
from kubelambda.kube.resources import CODE_SIGNING_CONFIGS, SIGNING_PROFILES

OWNER = "111111111111"
CONFIG = "csc-abcdefghij0123456"
CONFIG_ARN = f"arn:aws:lambda:us-east-1:{OWNER}:code-signing-config:{CONFIG}"
CODE = DeployedCode(sha256="c" * 64, size=1)
SIGNER = Signer()
STATE = CodeState(NOBODY, NOBODY)


def archive() -> bytes:
    """Code."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as folder:
        folder.writestr(zipfile.ZipInfo("index.py"), "x = 1")
    return buffer.getvalue()


STATE.contents[CODE.sha256] = signed_content([SIGNER.signed(archive(), job="job-1", seconds=None)])


def config(policy: str, *arns: str, version: int = 1) -> dict[str, Any]:
    """A code signing configuration that allows `arns`."""
    spec = {
        "allowedPublishers": {"signingProfileVersionArns": list(arns)},
        "codeSigningPolicies": {"untrustedArtifactOnDeployment": policy},
    }
    return body_of(CONFIG, spec, version)


def profile() -> dict[str, Any]:
    """Whose key the code is signed with."""
    return body_of("p", {"versions": [{"arn": ARN, "publicKey": SIGNER.public_pem}]})


async def signing(client: Written, *known: dict[str, Any]) -> DeployedSigning | Problem | None:
    """What is said of signed code by an operator that knows the configuration as it was."""
    context = context_of(client)
    for body in known:
        await changes.observe(context, WATCHED_SIGNING_CONFIGS, body)

    async def said() -> DeployedSigning | Problem | None:
        spec = spec_of(codeSigningConfigArn=CONFIG)
        return await signing_of(STATE, context, asker(), spec, account=OWNER, code=CODE, layers=(), before=None)

    first, reads = await said(), len(client.reads)
    assert await said() == first
    assert len(client.reads) == reads, "events tell what comes after"
    return first


async def test_a_function_may_name_a_code_signing_configuration_that_was_just_made() -> None:
    """By its name and by ARN."""
    context = context_of(Written((CODE_SIGNING_CONFIGS, config("Warn", "arn:p"))))

    async def found(reference: str) -> Any:
        spec = spec_of(codeSigningConfigArn=reference)
        return await signing_of(STATE, context, asker(), spec, account=OWNER, code=None, layers=(), before=None)

    absent = await found("absent")
    assert isinstance(absent, Problem)
    assert absent.reason is Reason.SIGNING_CONFIG_NOT_FOUND
    for reference in (CONFIG, CONFIG_ARN):
        assert await found(reference) is None


@pytest.mark.parametrize("policy", ["Enforce", "Warn"])
@pytest.mark.parametrize("former", [ARN, "arn:another"])
async def test_code_may_be_signed_by_a_publisher_who_was_just_made_known(policy: str, former: str) -> None:
    """By a profile, or by a configuration that allows it from now on; a warning would stay with the code for good."""
    client = Written((CODE_SIGNING_CONFIGS, config(policy, ARN, version=2)), (SIGNING_PROFILES, profile()))
    said = await signing(client, config(policy, former))
    assert said == DeployedSigning(config=CONFIG_ARN, profile_version_arn=ARN, job="job-1")


async def test_code_of_somebody_who_is_not_known_is_untrusted() -> None:
    """Who was asked for, once for each archive, and is not there."""
    said = await signing(Written((CODE_SIGNING_CONFIGS, config("Enforce", ARN))))
    assert isinstance(said, Problem)
    assert said.reason is Reason.CODE_VERIFICATION_FAILED
    warned = await signing(Written((CODE_SIGNING_CONFIGS, config("Warn", ARN))))
    assert isinstance(warned, DeployedSigning)
    assert [each.sha256 for each in warned.untrusted] == [CODE.sha256]


@pytest.mark.parametrize(("profiles", "ready"), [([(SIGNING_PROFILES, profile())], "True"), ([], "False")])
async def test_a_code_signing_configuration_may_allow_a_publisher_who_was_just_made_known(
    profiles: list[Named], ready: str
) -> None:
    """Its keys are missing only where nobody has them."""
    client = Written((CODE_SIGNING_CONFIGS, config("Enforce", ARN)), *profiles)
    context, key = context_of(client), Key("CodeSigningConfig", "a", CONFIG)
    await code_signing_config.reconcile(context, key)
    assert [each["status"] for each in client.statuses[-1]["conditions"] if each["type"] == "Ready"] == [ready]
    asked = client.reads.count(SIGNING_PROFILES)
    await code_signing_config.reconcile(context, key)
    assert client.reads.count(SIGNING_PROFILES) == asked
