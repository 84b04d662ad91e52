"""What objects of the kinds CodeSigningConfig and SigningProfile say, in whatever state they are: pure (§1.5.4)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubelambda.core.code.code_signing_arn import code_signing_config_arn, code_signing_config_id, id_of_reference
from kubelambda.core.code.code_trust import ProfileVersion, SigningPolicy


@dataclass(frozen=True, slots=True)
class SigningConfigFacts:
    """The parts of a CodeSigningConfig that functions are deployed by."""

    id: str
    allowed: tuple[str, ...]
    """ARNs of versions of signing profiles."""
    enforced: bool
    terminating: bool = False
    """Whether somebody wants it gone: it holds until nobody names it."""

    def policy(self, region: str, account: str, versions: Iterable[ProfileVersion]) -> SigningPolicy:
        """With the keys of the account."""
        by_arn: defaultdict[str, list[ProfileVersion]] = defaultdict(list)
        for version in versions:
            by_arn[version.arn].append(version)
        arn = code_signing_config_arn(region, account, self.id)
        return SigningPolicy(arn, self.allowed, self.enforced, dict(by_arn))


def signing_config_facts(body: Mapping[str, Any]) -> SigningConfigFacts:
    """Of a CodeSigningConfig object."""
    metadata, spec = body["metadata"], body["spec"]
    return SigningConfigFacts(
        id=code_signing_config_id(metadata["name"], metadata["uid"]),
        allowed=tuple(spec["allowedPublishers"]["signingProfileVersionArns"]),
        enforced=(spec.get("codeSigningPolicies") or {}).get("untrustedArtifactOnDeployment") == "Enforce",
        terminating="deletionTimestamp" in metadata,
    )


def profile_versions(body: Mapping[str, Any]) -> tuple[ProfileVersion, ...]:
    """Of a SigningProfile object."""
    return tuple(
        ProfileVersion(
            arn=version["arn"],
            public_key=version["publicKey"],
            revoked_from=_seconds(version.get("revokedFrom")),
            revoked_jobs=frozenset(version.get("revokedJobs") or ()),
        )
        for version in body["spec"]["versions"]
    )


def _seconds(rfc3339: str | None) -> int | None:
    """A time that cannot be read revokes everything: whoever wrote it wanted to revoke something."""
    if rfc3339 is None:
        return None
    try:
        found = datetime.fromisoformat(rfc3339)
    except ValueError:
        return 0
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def chosen_config(
    reference: str, configs: Iterable[tuple[str, SigningConfigFacts]], region: str, account: str
) -> SigningConfigFacts | None:
    """The configuration of a namespace that a function names, by its object's name or by ARN."""
    wanted = id_of_reference(reference, region, account)
    for name, facts in configs:
        if (name == reference) if wanted is None else (facts.id == wanted):
            return facts
    return None


def not_found_text(reference: str) -> str:
    """Lambda's text for a configuration that is not there (Appendix A)."""
    text = "The code signing configuration cannot be found. Check that the provided configuration is not deleted: "
    return f"{text}{reference}."
