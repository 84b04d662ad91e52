"""What the signatures of code and layers mean for a function that is to be deployed: pure (§1.5.4).

What was deployed before is not looked at again: a configuration that a function gets, a certificate that expires, a
publisher that is revoked concern the next code alone.
"""

from collections.abc import Mapping
from datetime import datetime

from kubelambda.api.kinds.deployed_signing import DeployedSigning, UntrustedArchive
from kubelambda.api.reasons import Reason
from kubelambda.core.code.code_signature import CodeStatement
from kubelambda.core.code.code_trust import SigningPolicy, TrustFault, Untrusted, is_refused, refusal_text, trust
from kubelambda.core.code.signed_content import SignedContent
from kubelambda.core.function.observation import Problem


def signing_decision(
    function: str,
    archives: Mapping[str, str],
    contents: Mapping[str, SignedContent],
    policy: SigningPolicy,
    *,
    code: str,
    before: DeployedSigning | None,
    now: datetime,
) -> DeployedSigning | Problem:
    """What to say of a deployment, or why there is none.

    `archives`: what each digest is called for people; `code` is the digest of the function's own. `contents` has those
    that are new.
    """
    found = {sha256: trust(content, policy, now) for sha256, content in contents.items()}
    problems = {sha256: fault for sha256, fault in found.items() if isinstance(fault, Untrusted)}
    for sha256, fault in problems.items():
        if is_refused(fault, enforced=policy.enforced):
            broken = fault.fault is TrustFault.INTEGRITY
            reason = Reason.INVALID_CODE_SIGNATURE if broken else Reason.CODE_VERIFICATION_FAILED
            return Problem(reason, refusal_text(fault, function, archives[sha256]), terminal=broken)
    untrusted = [
        each for each in (before.untrusted if before else ()) if each.sha256 in archives.keys() - contents.keys()
    ]
    untrusted += [
        UntrustedArchive(sha256=sha256, problem=f"{archives[sha256]}: {fault.text}")
        for sha256, fault in problems.items()
    ]
    said = found.get(code)
    if said is None and code not in contents and before is not None:
        return before.model_copy(update={"config": policy.arn, "untrusted": untrusted})
    signer = said if isinstance(said, CodeStatement) else None
    return DeployedSigning(
        config=policy.arn,
        profile_version_arn=signer.profile_version_arn if signer else None,
        job=signer.job if signer else None,
        untrusted=untrusted,
    )
