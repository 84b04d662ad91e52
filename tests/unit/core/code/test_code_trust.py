"""Whether signed code is trusted: integrity, publisher, expiry, revocation (§1.5.4)."""

import base64
import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.signer import ARN, Signer

from kubelambda.core.code.code_signature import CodeStatement, UnreadableKey, private_key, public_key
from kubelambda.core.code.code_trust import (
    ProfileVersion,
    SigningPolicy,
    TrustFault,
    Untrusted,
    is_refused,
    refusal_text,
    trust,
)
from kubelambda.core.code.signed_content import signed_content, with_comment
from kubelambda.core.code.signing_objects import profile_versions

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
AT = int(NOW.timestamp()) - 60
CONFIG = "arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-abcdefghij0123456"
SIGNER = Signer()
OTHER = Signer()


def zipped(text: str = "x = 1") -> bytes:
    """An archive with one file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as folder:
        folder.writestr(zipfile.ZipInfo("index.py"), text)
    return buffer.getvalue()


def policy(*versions: ProfileVersion, allowed: tuple[str, ...] = (ARN,)) -> SigningPolicy:
    """A configuration with those keys."""
    return SigningPolicy(CONFIG, allowed, enforced=True, profiles={ARN: versions})


KNOWN = ProfileVersion(ARN, SIGNER.public_pem)


def fault(archive: bytes, with_policy: SigningPolicy | None = None, now: datetime = NOW) -> Untrusted:
    """Why an archive is not trusted."""
    found = trust(signed_content([archive]), with_policy or policy(KNOWN), now)
    assert isinstance(found, Untrusted), found
    return found


def test_what_an_allowed_publisher_signed_is_trusted() -> None:
    """And who it was, and by which job."""
    archive = SIGNER.signed(zipped(), job="job-1", signed_at=AT)
    found = trust(signed_content([archive]), policy(KNOWN), NOW)
    assert found == CodeStatement(ARN, signed_content([zipped()]).sha256, AT, AT + 3600, "job-1")


def test_a_signature_may_be_good_for_ever() -> None:
    """One without an end."""
    archive = SIGNER.signed(zipped(), signed_at=AT, seconds=None)
    assert isinstance(trust(signed_content([archive]), policy(KNOWN), NOW + timedelta(days=99_999)), CodeStatement)


@pytest.mark.parametrize("comment", [b"", b"made by zip", b"a.b.c", b"eyJhbGciOiJFUzI1NiJ9.e30.AA"])
def test_what_is_not_signed_is_a_mismatch(comment: bytes) -> None:
    """No comment, somebody's words, a signature of another kind (§1.5.4: a mismatch, which Warn lets pass)."""
    found = fault(with_comment(zipped(), comment))
    assert (found.fault, found.text) == (TrustFault.MISMATCH, "it is not signed")


@pytest.mark.parametrize("header", [b"123", b"[]", b'"typ"', b"null", b"[" * 9_000, b'{"a":' * 1_800, b"[" * 40_000])
def test_a_comment_that_only_looks_like_a_signature_is_none(header: bytes) -> None:
    """Three words in base64 whose first is no JSON object, however deep it is: whoever wrote them signed nothing."""
    comment = base64.urlsafe_b64encode(header).rstrip(b"=") + b".e30.AA"
    assert fault(with_comment(zipped(), comment)).text == "it is not signed"


def test_what_was_changed_after_it_was_signed_is_broken() -> None:
    """The signature of another archive."""
    comment = signed_content([SIGNER.signed(zipped("good"), signed_at=AT)]).comment
    found = fault(with_comment(zipped("evil"), comment))
    assert found.fault is TrustFault.INTEGRITY
    assert "was changed after" in found.text


def test_what_was_changed_is_broken_whoever_signed_it() -> None:
    """A signer whom nobody allowed makes no damaged archive a mere mismatch."""
    stranger = replace(OTHER, arn=ARN.replace("release", "other"))
    comment = signed_content([stranger.signed(zipped("good"), signed_at=AT)]).comment
    assert fault(with_comment(zipped("evil"), comment)).fault is TrustFault.INTEGRITY


def test_a_signature_that_the_publisher_did_not_make_is_broken() -> None:
    """Somebody else's key under the publisher's name."""
    found = fault(OTHER.signed(zipped(), signed_at=AT))
    assert found.fault is TrustFault.INTEGRITY
    assert found.text == f"its signature was not made with the key of {ARN}"


def _parts(archive: bytes) -> list[dict[str, Any]]:
    texts = signed_content([archive]).comment.split(b".")[:2]
    return [json.loads(base64.urlsafe_b64decode(text + b"==")) for text in texts]


def _with(archive: bytes, header: dict[str, Any], payload: dict[str, Any]) -> bytes:
    """The archive with another header and payload under the old signature."""
    signature = signed_content([archive]).comment.rpartition(b".")[2]
    texts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in (header, payload)]
    return with_comment(archive, b".".join([*texts, signature]))


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        ({"alg": "none"}, {}),
        ({"alg": "HS256"}, {}),
        ({"crit": ["x"]}, {}),
        ({"kid": 7}, {}),
        ({}, {"exp": AT + 99_999}),
        ({}, {"exp": "soon"}),
        ({}, {"iat": 1.5}),
        ({}, {"iat": True}),
        ({}, {"sha256": "short"}),
        ({}, {"jti": "a job"}),
        ({}, {"jti": None}),
    ],
)
def test_what_the_signature_says_cannot_be_changed(header: dict[str, Any], payload: dict[str, Any]) -> None:
    """Neither the algorithm nor the time: it is a broken signature, never a weaker check."""
    archive = SIGNER.signed(zipped(), signed_at=AT)
    before = _parts(archive)
    assert fault(_with(archive, before[0] | header, before[1] | payload)).fault is TrustFault.INTEGRITY


@pytest.mark.parametrize("text", [b"W10", b"bm90IGpzb24", b"_w", b"W1tb" * 2_000])
def test_a_payload_that_is_no_object_is_broken(text: bytes) -> None:
    """A list, words, bytes that are no text, and more lists than anybody can read."""
    header, _, signature = signed_content([SIGNER.signed(zipped(), signed_at=AT)]).comment.split(b".")
    archive = with_comment(zipped(), b".".join([header, text, signature]))
    assert fault(archive).fault is TrustFault.INTEGRITY


def test_a_publisher_whom_the_configuration_does_not_name_is_a_mismatch() -> None:
    """However good the signature is."""
    found = fault(SIGNER.signed(zipped(), signed_at=AT), policy(KNOWN, allowed=("arn:aws:signer:::/other",)))
    assert found.fault is TrustFault.MISMATCH
    assert f"signed by {ARN}, which {CONFIG} does not allow" in found.text


def test_a_publisher_whose_key_nobody_knows_is_a_mismatch() -> None:
    """No profile, or one whose key cannot be used: the text says which."""
    archive = SIGNER.signed(zipped(), signed_at=AT)
    assert fault(archive, policy()).text == f"no SigningProfile has the key of {ARN}"
    broken = fault(archive, policy(ProfileVersion(ARN, "no key")))
    assert broken.fault is TrustFault.MISMATCH
    assert broken.text == f"the key of {ARN} cannot be used: it is neither a PEM public key nor a PEM certificate"


def test_of_two_profiles_with_one_arn_either_key_will_do() -> None:
    """A key that is replaced is known under both for a while; one that cannot be used hides no other."""
    archive = SIGNER.signed(zipped(), signed_at=AT)
    versions = (ProfileVersion(ARN, "no key"), ProfileVersion(ARN, OTHER.public_pem), KNOWN)
    assert isinstance(trust(signed_content([archive]), policy(*versions), NOW), CodeStatement)
    assert fault(archive, policy(*versions[:2])).fault is TrustFault.INTEGRITY


def test_a_signature_ends() -> None:
    """At its second, not before."""
    archive = SIGNER.signed(zipped(), signed_at=AT, seconds=60)
    assert fault(archive).fault is TrustFault.EXPIRY
    assert fault(archive).text == "its signature was good until 2026-06-01T12:00:00Z"
    assert isinstance(trust(signed_content([archive]), policy(KNOWN), NOW - timedelta(seconds=1)), CodeStatement)


@pytest.mark.parametrize("seconds", [-AT - 1, 10**12, 10**30])
def test_a_publisher_cannot_sign_for_a_time_that_nobody_can_show(seconds: int) -> None:
    """Before 1970, or after the year 9999: it is a broken signature."""
    assert fault(SIGNER.signed(zipped(), signed_at=AT, seconds=seconds)).fault is TrustFault.INTEGRITY


def test_what_is_revoked_from_the_beginning_on_is_said() -> None:
    """The first day of the first year begins in the year before it in some places."""
    (version,) = profile_versions(
        {
            "spec": {
                "versions": [{"arn": ARN, "publicKey": SIGNER.public_pem, "revokedFrom": "0001-01-01T00:00:00+14:00"}]
            }
        }
    )
    found = fault(SIGNER.signed(zipped(), signed_at=AT), policy(version))
    assert found.text == f"signatures of {ARN} are revoked from the beginning on"


def test_a_profile_is_revoked_from_a_time_on() -> None:
    """What it signed before stays good; what says that it was signed then or later does not."""
    archive = SIGNER.signed(zipped(), signed_at=AT)
    assert fault(archive, policy(replace(KNOWN, revoked_from=AT))).fault is TrustFault.REVOCATION
    found = trust(signed_content([archive]), policy(replace(KNOWN, revoked_from=AT + 1)), NOW)
    assert isinstance(found, CodeStatement)


def test_a_single_signature_is_revoked() -> None:
    """By its job."""
    archive = SIGNER.signed(zipped(), job="leaked", signed_at=AT)
    assert fault(archive, policy(replace(KNOWN, revoked_jobs=frozenset({"leaked"})))).fault is TrustFault.REVOCATION
    assert isinstance(
        trust(signed_content([archive]), policy(replace(KNOWN, revoked_jobs=frozenset({"other"}))), NOW), CodeStatement
    )


@pytest.mark.parametrize("kind", list(TrustFault))
def test_only_a_broken_signature_is_refused_in_any_case(kind: TrustFault) -> None:
    """Warn lets everything else be deployed (§1.5.4)."""
    assert is_refused(Untrusted(kind, ""), enforced=True)
    assert is_refused(Untrusted(kind, ""), enforced=False) == (kind is TrustFault.INTEGRITY)


def test_the_deployer_hears_lambdas_sentences() -> None:
    """With what is wrong behind them."""
    assert refusal_text(Untrusted(TrustFault.MISMATCH, "it is not signed"), "hello", "the code") == (
        "Lambda cannot deploy the function. The function or layer might be signed using a signature that the client is "
        "not configured to accept. Check the provided signature for hello. (the code: it is not signed)"
    )
    assert "failed the integrity check" in refusal_text(Untrusted(TrustFault.INTEGRITY, "x"), "hello", "the code")


def test_a_certificate_has_a_key() -> None:
    """Its own; its dates and issuer are not looked at."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "release")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(SIGNER.key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2020, 2, 1, tzinfo=UTC))
        .sign(SIGNER.key, hashes.SHA256())
    )
    version = ProfileVersion(ARN, certificate.public_bytes(Encoding.PEM).decode())
    archive = SIGNER.signed(zipped(), signed_at=AT)
    assert isinstance(trust(signed_content([archive]), policy(version), NOW), CodeStatement)


def test_only_the_curve_p_256_will_do() -> None:
    """Another curve is no weaker, and another algorithm."""
    key = ec.generate_private_key(ec.SECP384R1())
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(UnreadableKey, match="no key of the curve P-256"):
        public_key(pem)
    with pytest.raises(UnreadableKey, match="without a password"):
        private_key(b"no key")
