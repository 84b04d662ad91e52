"""Whether an archive may be deployed under a code signing configuration: integrity, publisher, expiry, revocation.

Pure (§1.5.4). What is damaged, or signed by nobody who could have, is refused whatever the configuration says; what is
merely not trusted the configuration decides about.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from kubelambda.core.code.code_signature import (
    CodeSignature,
    CodeStatement,
    UnreadableKey,
    UnreadableSignature,
    is_signed_by,
    public_key,
    read_signature,
)
from kubelambda.core.code.signed_content import SignedContent

_FIRST: Final = -62_135_596_800
"""The first second of the year 1."""


class TrustFault(StrEnum):
    """Why an archive is not trusted; the names are Lambda's."""

    INTEGRITY = "integrity"
    MISMATCH = "mismatch"
    EXPIRY = "expiry"
    REVOCATION = "revocation"


@dataclass(frozen=True, slots=True)
class Untrusted:
    """A fault, and for people what it is."""

    fault: TrustFault
    text: str


@dataclass(frozen=True, slots=True)
class ProfileVersion:
    """One version of a signing profile: whose signatures are known by its key. Times are seconds since the epoch."""

    arn: str
    public_key: str
    """PEM."""
    revoked_from: int | None = None
    """Signatures from then on are not trusted."""
    revoked_jobs: frozenset[str] = frozenset()
    """Single signatures that are not trusted."""


@dataclass(frozen=True, slots=True)
class SigningPolicy:
    """A code signing configuration, and the keys that it needs."""

    arn: str
    allowed: Collection[str]
    """ARNs of versions of signing profiles."""
    enforced: bool
    profiles: Mapping[str, Sequence[ProfileVersion]]
    """By ARN. Whoever wrote one has the right to: two of one ARN are both asked."""


@dataclass(frozen=True, slots=True)
class DeployedArchives:
    """Digests of what a function has, or is to have."""

    code: str | None = None
    layers: Collection[str] = ()

    @property
    def digests(self) -> list[str]:
        """Each once."""
        return list(dict.fromkeys([*([] if self.code is None else [self.code]), *self.layers]))


def new_archives(wanted: DeployedArchives, known: DeployedArchives) -> DeployedArchives:
    """Those that must be looked at: what was deployed before is not looked at again.

    What was a layer is new as code: nobody may have asked for its signature, and its code's is another's.
    """
    code = None if wanted.code == known.code else wanted.code
    return DeployedArchives(code, [layer for layer in wanted.layers if layer not in known.layers])


def trust(content: SignedContent, policy: SigningPolicy, now: datetime) -> CodeStatement | Untrusted:
    """What a trusted signature says of an archive, or why there is none."""
    try:
        signature = read_signature(content.comment)
    except UnreadableSignature as error:
        return Untrusted(TrustFault.INTEGRITY, f"its signature cannot be read: {error}")
    if signature is None:
        return Untrusted(TrustFault.MISMATCH, "it is not signed")
    said = signature.statement
    if said.sha256 != content.sha256:
        return Untrusted(TrustFault.INTEGRITY, f"it was changed after job {said.job} signed it")
    if said.profile_version_arn not in policy.allowed:
        text = f"it is signed by {said.profile_version_arn}, which {policy.arn} does not allow"
        return Untrusted(TrustFault.MISMATCH, text)
    versions = policy.profiles.get(said.profile_version_arn, ())
    return _proven(signature, versions) or _revoked(said, versions) or _expired(said, now) or said


def _proven(signature: CodeSignature, versions: Iterable[ProfileVersion]) -> Untrusted | None:
    """What is in the way of believing that a version of the profile made the signature."""
    arn = signature.statement.profile_version_arn
    found = Untrusted(TrustFault.MISMATCH, f"no SigningProfile has the key of {arn}")
    for version in versions:
        try:
            if is_signed_by(signature, public_key(version.public_key)):
                return None
        except UnreadableKey as error:
            if found.fault is TrustFault.MISMATCH:
                found = Untrusted(TrustFault.MISMATCH, f"the key of {arn} cannot be used: {error}")
        else:
            found = Untrusted(TrustFault.INTEGRITY, f"its signature was not made with the key of {arn}")
    return found


def _revoked(said: CodeStatement, versions: Iterable[ProfileVersion]) -> Untrusted | None:
    for version in versions:
        if said.job in version.revoked_jobs:
            return Untrusted(TrustFault.REVOCATION, f"the signature of job {said.job} is revoked")
        if version.revoked_from is not None and said.signed_at >= version.revoked_from:
            text = f"signatures of {version.arn} are revoked from {_shown(version.revoked_from)} on"
            return Untrusted(TrustFault.REVOCATION, text)
    return None


def _expired(said: CodeStatement, now: datetime) -> Untrusted | None:
    if said.expires_at is not None and now.timestamp() >= said.expires_at:
        return Untrusted(TrustFault.EXPIRY, f"its signature was good until {_shown(said.expires_at)}")
    return None


def _shown(seconds: int) -> str:
    """What a profile says may lie before the first year that there is."""
    if seconds < _FIRST:
        return "the beginning"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_refused(untrusted: Untrusted, *, enforced: bool) -> bool:
    """Whether a fault keeps the code from being deployed (§1.5.4)."""
    return enforced or untrusted.fault is TrustFault.INTEGRITY


def refusal_text(untrusted: Untrusted, function: str, what: str) -> str:
    """What the deployer is told; Lambda's sentences where it has some. `what`: the function's code, or a layer."""
    if untrusted.fault is TrustFault.INTEGRITY:
        text = "Lambda cannot deploy the function. The code signature failed the integrity check."
        return f"{text} ({what}: {untrusted.text})"
    return (
        "Lambda cannot deploy the function. The function or layer might be signed using a signature that the client is "
        f"not configured to accept. Check the provided signature for {function}. ({what}: {untrusted.text})"
    )
