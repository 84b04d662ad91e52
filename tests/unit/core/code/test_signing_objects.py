"""Code signing configurations and profiles as objects: ids, what they say, what is said of them (§1.2.5, §1.5.4)."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.signer import ARN, Signer

from kubelambda.api.kinds.code_signing_config import CodeSigningConfigStatus
from kubelambda.api.kinds.signing_profile import SigningProfileStatus
from kubelambda.core.code.code_signing_arn import code_signing_config_arn, code_signing_config_id, id_of_reference
from kubelambda.core.code.code_trust import ProfileVersion
from kubelambda.core.code.signing_objects import (
    chosen_config,
    profile_versions,
    signing_config_facts,
)
from kubelambda.core.code.signing_status import config_status, profile_status

NOW = datetime(2026, 6, 1, tzinfo=UTC)
REGION, ACCOUNT = "us-east-1", "123456789012"
SIGNER = Signer()


def config(name: str = "release", **spec: Any) -> dict[str, Any]:
    """A CodeSigningConfig object."""
    body = SIGNER.config(name, "team")
    return {**body, "metadata": {**body["metadata"], "uid": "u-1"}, "spec": {**body["spec"], **spec}}


def test_an_id_is_the_name_or_made_of_the_uid() -> None:
    """Lambda's form in any case, and always the same."""
    assert code_signing_config_id("csc-abcdefghij0123456", "u-1") == "csc-abcdefghij0123456"
    found = code_signing_config_id("release", "u-1")
    assert re.fullmatch("csc-[a-z0-9]{17}", found)
    assert found == code_signing_config_id("release", "u-1") != code_signing_config_id("release", "u-2")


def test_a_function_names_it_by_name_or_arn() -> None:
    """An ARN of another account or region names none of this one's, however its id is."""
    facts = signing_config_facts(config())
    arn = code_signing_config_arn(REGION, ACCOUNT, facts.id)
    configs = [("other", signing_config_facts(config("other") | {"metadata": {"name": "other", "uid": "u-2"}}))]
    configs.append(("release", facts))
    assert chosen_config("release", configs, REGION, ACCOUNT) == facts
    assert chosen_config(arn, configs, REGION, ACCOUNT) == facts
    for wrong in ("absent", arn.replace(ACCOUNT, "9" * 12), arn.replace(REGION, "eu-west-1"), "arn:aws:s3:::bucket"):
        assert chosen_config(wrong, configs, REGION, ACCOUNT) is None
    assert id_of_reference("release", REGION, ACCOUNT) is None


@pytest.mark.parametrize(("policy", "enforced"), [("Warn", False), ("Enforce", True), (None, False)])
def test_it_warns_unless_it_says_otherwise(policy: str | None, enforced: bool) -> None:
    """Lambda's default."""
    policies = {} if policy is None else {"codeSigningPolicies": {"untrustedArtifactOnDeployment": policy}}
    body = config()
    del body["spec"]["codeSigningPolicies"]
    body["spec"] |= policies
    assert signing_config_facts(body).enforced is enforced


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("2026-06-01T00:00:00Z", 1_780_272_000),
        ("2026-06-01T02:00:00+02:00", 1_780_272_000),
        ("some day", 0),
        (None, None),
    ],
)
def test_a_time_that_cannot_be_read_revokes_everything(given: str | None, seconds: int | None) -> None:
    """Whoever wrote it wanted to revoke something."""
    body = SIGNER.profile("release", "team", **({} if given is None else {"revokedFrom": given}))
    assert [version.revoked_from for version in profile_versions(body)] == [seconds]


def test_a_profile_says_which_key_cannot_be_used() -> None:
    """Ready, or Stalled with the ARN and the reason."""
    good = profile_status(SigningProfileStatus(), 1, [ProfileVersion(ARN, SIGNER.public_pem)], NOW)
    assert [(each.type, each.status) for each in good.conditions] == [("Ready", "True")]
    bad = profile_status(SigningProfileStatus(), 1, [ProfileVersion(ARN, "no key")], NOW)
    assert [(each.type, each.status, each.reason) for each in bad.conditions] == [
        ("Ready", "False", "InvalidKey"),
        ("Stalled", "True", "InvalidKey"),
    ]
    assert ARN in bad.conditions[0].message


def test_a_configuration_says_whose_key_is_missing_and_who_holds_it() -> None:
    """An unusable key is a missing one."""

    def told(*versions: ProfileVersion, holders: tuple[str, ...] = ()) -> dict[str, tuple[str, str]]:
        facts = signing_config_facts(config())
        policy = facts.policy(REGION, ACCOUNT, versions)
        found = config_status(CodeSigningConfigStatus(), 3, facts.id, policy, holders=holders, now=NOW)
        assert found.code_signing_config_arn == code_signing_config_arn(REGION, ACCOUNT, facts.id)
        return {each.type: (each.status, each.message) for each in found.conditions}

    assert told(ProfileVersion(ARN, SIGNER.public_pem))["Ready"][0] == "True"
    for versions in ((), (ProfileVersion(ARN, "no key"),)):
        assert told(*versions)["Ready"] == (
            "False",
            f"no SigningProfile has a key of {ARN}: what they sign is not trusted",
        )
    held = told(ProfileVersion(ARN, SIGNER.public_pem), holders=("Function hello",))
    assert held["DeletionRefused"] == ("True", "in use by Function hello: it goes when they name it no more")
