"""`kubelambda sign`: signs an archive for functions and layers under a code signing configuration (§1.5.4)."""

import re
import time
import uuid
from pathlib import Path
from typing import Annotated, Final

import typer

from kubelambda.core.code.code_signature import PROFILE_VERSION_ARN, CodeStatement, UnreadableKey, private_key, sign
from kubelambda.core.code.invalid_archive import InvalidArchive
from kubelambda.core.code.signed_content import signed_content, with_comment

DAYS: Final = 4_107
"""135 months, as AWS Signer's profiles say unless they say something else."""
_DAY_S: Final = 86_400


def sign_archive(
    archive: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The zip archive.")],
    key: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="PEM private key of the curve P-256, without a password.")
    ],
    profile_version_arn: Annotated[
        str,
        typer.Option(help="ARN under which a SigningProfile has the public key: arn:aws:signer:…:/signing-profiles/…"),
    ],
    output: Annotated[Path | None, typer.Option(help="Where to write it; the archive itself if not given.")] = None,
    valid_days: Annotated[int, typer.Option(min=1, help="How long the signature is good for new deployments.")] = DAYS,
) -> None:
    """Sign a zip archive: its content stays as it is, its comment becomes the signature.

    Prints the name of the signing job, by which this one signature can be revoked.
    """
    if re.fullmatch(PROFILE_VERSION_ARN, profile_version_arn) is None:
        raise typer.BadParameter(f"{profile_version_arn} is no ARN of a signing profile's version")
    now, job = int(time.time()), str(uuid.uuid4())
    try:
        content = archive.read_bytes()
        digest = signed_content([content]).sha256
        statement = CodeStatement(profile_version_arn, digest, now, now + valid_days * _DAY_S, job)
        signed = with_comment(content, sign(statement, private_key(key.read_bytes())))
    except InvalidArchive as error:
        raise typer.BadParameter(f"{archive} is no zip archive: {error}") from error
    except UnreadableKey as error:
        raise typer.BadParameter(f"{key}: {error}") from error
    (output or archive).write_bytes(signed)
    typer.echo(job)
