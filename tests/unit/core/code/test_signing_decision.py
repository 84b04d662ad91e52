"""What signatures mean for a deployment: what is new is looked at, what was deployed stays what it was (§1.5.4)."""

import io
import zipfile
from datetime import UTC, datetime

import pytest
from tests.signer import ARN, Signer

from kubelambda.api.kinds.deployed_signing import DeployedSigning, UntrustedArchive
from kubelambda.api.reasons import Reason
from kubelambda.core.code.code_trust import DeployedArchives, ProfileVersion, SigningPolicy, new_archives
from kubelambda.core.code.signed_content import SignedContent, signed_content, with_comment
from kubelambda.core.code.signing_decision import signing_decision
from kubelambda.core.function.observation import Problem

NOW = datetime(2026, 6, 1, tzinfo=UTC)
AT = int(NOW.timestamp())
CONFIG = "arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-abcdefghij0123456"
SIGNER = Signer()


def zipped(text: str = "x = 1") -> bytes:
    """An archive with one file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as folder:
        folder.writestr(zipfile.ZipInfo("index.py"), text)
    return buffer.getvalue()


SIGNED = signed_content([SIGNER.signed(zipped(), job="job-1", signed_at=AT)])
UNSIGNED = signed_content([zipped()])
BROKEN = signed_content([with_comment(zipped("evil"), SIGNED.comment)])


def decided(
    contents: dict[str, SignedContent],
    archives: tuple[str, ...] = ("c",),
    *,
    enforced: bool = True,
    before: DeployedSigning | None = None,
) -> DeployedSigning | Problem:
    """The decision about a function whose code is `c`."""
    names = {sha256: "the code" if sha256 == "c" else f"layer {sha256}" for sha256 in archives}
    policy = SigningPolicy(CONFIG, (ARN,), enforced, {ARN: [ProfileVersion(ARN, SIGNER.public_pem)]})
    return signing_decision("hello", names, contents, policy, code="c", before=before, now=NOW)


def test_signed_code_is_deployed_with_its_signer() -> None:
    """Whichever policy there is."""
    wanted = DeployedSigning(config=CONFIG, profile_version_arn=ARN, job="job-1")
    assert decided({"c": SIGNED}) == decided({"c": SIGNED}, enforced=False) == wanted


def test_unsigned_code_is_refused_or_told_of() -> None:
    """Enforce, and Warn."""
    refused = decided({"c": UNSIGNED})
    assert isinstance(refused, Problem)
    assert (refused.reason, refused.terminal) == (Reason.CODE_VERIFICATION_FAILED, False)
    warned = decided({"c": UNSIGNED}, enforced=False)
    assert warned == DeployedSigning(
        config=CONFIG, untrusted=[UntrustedArchive(sha256="c", problem="the code: it is not signed")]
    )


def test_an_archive_with_bytes_behind_its_comment_is_unsigned() -> None:
    """Environments can unpack it, and Warn does not ask for more."""
    longer = signed_content([zipped() + b"more"])
    assert decided({"c": longer}, enforced=False) == decided({"c": UNSIGNED}, enforced=False)
    assert decided({"c": longer}) == decided({"c": UNSIGNED})


@pytest.mark.parametrize("broken", [BROKEN, signed_content([SIGNER.signed(zipped(), signed_at=AT) + b"more"])])
def test_broken_code_is_refused_by_both(broken: SignedContent) -> None:
    """Nothing but other code can help."""
    for enforced in (True, False):
        refused = decided({"c": broken}, enforced=enforced)
        assert isinstance(refused, Problem)
        assert (refused.reason, refused.terminal) == (Reason.INVALID_CODE_SIGNATURE, True)


def test_a_layer_counts_as_the_code_does() -> None:
    """Signed code with an unsigned layer is refused; the layer is named."""
    refused = decided({"c": SIGNED, "l": UNSIGNED}, ("c", "l"))
    assert isinstance(refused, Problem)
    assert "(layer l: it is not signed)" in refused.message


def test_what_was_deployed_is_not_looked_at_again() -> None:
    """Its signer and its warnings stay; those of archives that are gone go."""
    before = DeployedSigning(
        config="other",
        profile_version_arn=ARN,
        job="job-0",
        untrusted=[UntrustedArchive(sha256="l", problem="p"), UntrustedArchive(sha256="gone", problem="q")],
    )
    found = decided({}, ("c", "l"), before=before)
    assert found == before.model_copy(update={"config": CONFIG, "untrusted": before.untrusted[:1]})


def test_a_configuration_that_comes_later_says_nothing_of_what_runs() -> None:
    """No signer, no warning."""
    assert decided({}) == DeployedSigning(config=CONFIG)


def test_new_code_forgets_the_old_codes_signer() -> None:
    """And keeps the warning of a layer that stays."""
    before = DeployedSigning(
        config=CONFIG, profile_version_arn="old", job="old", untrusted=[UntrustedArchive(sha256="l", problem="p")]
    )
    found = decided({"c": UNSIGNED}, ("c", "l"), enforced=False, before=before)
    assert isinstance(found, DeployedSigning)
    assert (found.profile_version_arn, found.job) == (None, None)
    assert [each.sha256 for each in found.untrusted] == ["l", "c"]


DEPLOYED = DeployedArchives("c", ["l"])


def test_what_is_deployed_is_not_looked_at_again() -> None:
    """Neither code nor layers that stay; everything of a function that was never deployed."""
    assert new_archives(DeployedArchives("c", ["l"]), DEPLOYED).digests == []
    assert new_archives(DeployedArchives("d", ["l", "m", "m"]), DEPLOYED).digests == ["d", "m"]
    assert new_archives(DeployedArchives("c", ["l", "c"]), DeployedArchives()).digests == ["c", "l"]


def test_a_layer_that_becomes_the_code_is_new() -> None:
    """Else code that nobody signed would pass for that of whoever signed the code before it, and the other way."""
    assert new_archives(DeployedArchives("l"), DEPLOYED) == DeployedArchives("l", [])
    assert new_archives(DeployedArchives("c", ["c"]), DEPLOYED) == DeployedArchives(None, ["c"])
