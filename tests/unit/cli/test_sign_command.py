"""`kubelambda sign`: what it writes is trusted where its key is known, and what it cannot sign it leaves as it was."""

import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from tests.signer import ARN, Signer
from typer.testing import CliRunner

from kubelambda.cli.main import app
from kubelambda.core.code.code_signature import CodeStatement
from kubelambda.core.code.code_trust import ProfileVersion, SigningPolicy, trust
from kubelambda.core.code.signed_content import signed_content


def _files(folder: Path, signer: Signer) -> tuple[Path, Path]:
    archive, key = folder / "code.zip", folder / "key.pem"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("index.py", "x = 1")
    archive.write_bytes(buffer.getvalue())
    key.write_bytes(signer.private_pem)
    return archive, key


def _sign(*arguments: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["sign", *map(str, arguments)])
    return found.exit_code, found.output


def test_a_signed_archive_is_trusted(tmp_path: Path) -> None:
    """The job that it prints is in the signature; the archive that was given stays as it was."""
    signer = Signer()
    archive, key = _files(tmp_path, signer)
    before, signed = archive.read_bytes(), tmp_path / "signed.zip"
    code, output = _sign(archive, "--key", key, "--profile-version-arn", ARN, "--output", signed, "--valid-days", 2)
    assert code == 0, output
    policy = SigningPolicy("config", (ARN,), enforced=True, profiles={ARN: [ProfileVersion(ARN, signer.public_pem)]})
    found = trust(signed_content([signed.read_bytes()]), policy, datetime.now(UTC))
    assert isinstance(found, CodeStatement), found
    assert found.job == output.strip()
    assert found.expires_at == found.signed_at + 2 * 86_400
    assert archive.read_bytes() == before
    assert zipfile.ZipFile(signed).read("index.py") == b"x = 1"


def test_an_archive_is_signed_in_its_place(tmp_path: Path) -> None:
    """Without --output; a second signature takes the place of the first."""
    archive, key = _files(tmp_path, Signer())
    digest = signed_content([archive.read_bytes()]).sha256
    for _ in range(2):
        assert _sign(archive, "--key", key, "--profile-version-arn", ARN)[0] == 0
    content = signed_content([archive.read_bytes()])
    assert content.sha256 == digest
    assert content.comment.count(b".") == 2


def test_what_cannot_be_signed_stays_as_it_was(tmp_path: Path) -> None:
    """No archive, no ARN, a key of another curve: each says what is wrong."""
    archive, key = _files(tmp_path, Signer())
    other = tmp_path / "other.pem"
    other.write_bytes(Signer(key=ec.generate_private_key(ec.SECP384R1())).private_pem)
    text = tmp_path / "text.zip"
    text.write_text("no archive")
    before = archive.read_bytes()
    for arguments, wanted in (
        ((text, "--key", key, "--profile-version-arn", ARN), "no zip archive"),
        ((archive, "--key", key, "--profile-version-arn", "release"), "no ARN"),
        ((archive, "--key", other, "--profile-version-arn", ARN), "P-256"),
    ):
        code, output = _sign(*arguments)
        assert code == 2
        assert wanted in " ".join(output.split())
    assert archive.read_bytes() == before
    assert text.read_text() == "no archive"
