"""What SigningProfiles and CodeSigningConfigs say of themselves: pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from kubelambda.api.conditions import Fact, conditions_of, merge
from kubelambda.api.kinds.code_signing_config import CodeSigningConfigStatus
from kubelambda.api.kinds.signing_profile import SigningProfileStatus
from kubelambda.api.reasons import Reason
from kubelambda.core.code.code_signature import UnreadableKey, public_key
from kubelambda.core.code.code_trust import ProfileVersion, SigningPolicy
from kubelambda.core.function.observation import Problem


def profile_status(
    before: SigningProfileStatus, generation: int, versions: Iterable[ProfileVersion], now: datetime
) -> SigningProfileStatus:
    """Of a SigningProfile: the first key that cannot be used is told."""
    told: list[Fact] = [("Ready", "True", Reason.KEYS_KNOWN, "signatures can be verified with its keys")]
    for version in versions:
        text = _fault(version)
        if text is not None:
            told = Problem(Reason.INVALID_KEY, f"publicKey of {version.arn}: {text}", terminal=True).facts
            break
    conditions = conditions_of(told, now, generation=generation)
    return SigningProfileStatus(observed_generation=generation, conditions=merge(before.conditions, conditions))


def _fault(version: ProfileVersion) -> str | None:
    try:
        public_key(version.public_key)
    except UnreadableKey as error:
        return str(error)
    return None


def config_status(
    before: CodeSigningConfigStatus,
    generation: int,
    config_id: str,
    policy: SigningPolicy,
    *,
    holders: Sequence[str],
    now: datetime,
) -> CodeSigningConfigStatus:
    """Of a CodeSigningConfig; `holders` keep it from being deleted, when somebody wants that."""
    told: list[Fact] = [("Ready", "True", Reason.KEYS_KNOWN, "the keys of all publishers are known")]
    missing = _without_key(policy.allowed, policy.profiles)
    if missing:
        text = f"no SigningProfile has a key of {', '.join(missing)}: what they sign is not trusted"
        told = Problem(Reason.KEYS_MISSING, text).facts
    if holders:
        text = f"in use by {', '.join(holders)}: it goes when they name it no more"
        told.append(("DeletionRefused", "True", Reason.IN_USE, text))
    return CodeSigningConfigStatus(
        observed_generation=generation,
        code_signing_config_id=config_id,
        code_signing_config_arn=policy.arn,
        conditions=merge(before.conditions, conditions_of(told, now, generation=generation)),
    )


def _without_key(allowed: Iterable[str], profiles: Mapping[str, Sequence[ProfileVersion]]) -> list[str]:
    return [arn for arn in allowed if not any(_fault(version) is None for version in profiles.get(arn, ()))]
