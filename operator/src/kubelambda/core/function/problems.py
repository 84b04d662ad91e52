"""What may keep a Function from being deployed as it stands: an ordered chain of checks, one function each: pure.

What one check finds is also a condition of the Function, if it has a name. The first finding that is not good is what
the Function's Ready condition, its state and its update status speak of. A new requirement is one more check.
"""

from collections.abc import Callable
from dataclasses import dataclass

from kubelambda.api.conditions import ConditionStatus
from kubelambda.api.kinds.deployed_configuration import DeployedCode
from kubelambda.api.kinds.deployed_signing import DeployedSigning
from kubelambda.api.kinds.function_image import DeployedImage
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.kinds.vpc_config import DeployedNetwork
from kubelambda.api.reasons import Reason
from kubelambda.core.function.observation import Observation, Problem
from kubelambda.core.network.enforcement_probe import enforcement_fact

FETCHING = "the code is being fetched"
_IMAGE_REASONS = (Reason.INVALID_IMAGE, Reason.IMAGE_ACCESS_DENIED, Reason.IMAGE_DELETED)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    condition: str | None
    """Type of the condition that tells it; None: only Ready does."""
    status: ConditionStatus
    reason: Reason
    message: str
    code: str = ""
    """Lambda's word for it where it is not good (§1.4.6)."""
    hopeless: bool = False
    """Whether nothing but a change of the spec can help."""
    blocks: bool = True
    """Whether the previous deployment stays as long as it is not good."""
    ours: bool = False
    """Whether it is the platform's to mend: the function waits and has not failed."""
    outside: bool = False
    """Whether it is about what the function only names: it may go after a deployment, which no update has done then."""

    only_told: bool = False
    """Whether it is worth a condition and nothing else: what it means for the function, another check says."""

    @property
    def good(self) -> bool:
        """Whether nothing is in the way."""
        return self.status == "True" or self.only_told


type Check = Callable[[Observation], Finding | None]
"""Looks at one thing; None while that was not looked at."""


def spec_is_valid(observed: Observation) -> Finding | None:
    """What the schema cannot express."""
    if isinstance(observed.spec, Problem):
        return _problem(None, observed.spec, "InvalidConfiguration")
    return None


def runtime_exists(observed: Observation) -> Finding | None:
    """The Runtime that the function names."""
    match observed.runtime:
        case Problem() as missing:
            return _problem("RuntimeReady", missing, "InvalidRuntime", outside=True)
        case RuntimeSpec() if (failure := observed.pool_failure) is not None:
            # Whatever runs goes on, and the pool fills by itself: no update has failed, and no other one is held up.
            text, told = failure.message, not failure.exhausted
            return Finding("RuntimeReady", "False", Reason.POOL_FAILING, text, blocks=False, only_told=told)
        case RuntimeSpec():
            return Finding("RuntimeReady", "True", Reason.RUNTIME_FOUND, "")
    return None


def code_is_published(observed: Observation) -> Finding | None:
    """The archive, verified and in the code store."""
    match observed.code:
        case Problem(reason=Reason.CODE_STORE_UNAVAILABLE) as away:
            return _problem("CodeReady", away, "InternalError", ours=True)
        case Problem(reason=reason) if reason in _IMAGE_REASONS:
            return None
        case Problem() as unusable:
            return _problem("CodeReady", unusable, "InvalidZipFileException")
        case DeployedCode() as code:
            return Finding("CodeReady", "True", Reason.CODE_PUBLISHED, f"{code.size} bytes, sha256 {code.sha256}")
        case None if isinstance(observed.runtime, RuntimeSpec):
            return Finding("CodeReady", "Unknown", Reason.IN_PROGRESS, FETCHING, code="Creating", ours=True)
    return None


def image_is_found(observed: Observation) -> Finding | None:
    """The container image, in its registry."""
    match observed.code:
        case Problem(reason=reason) as refused if reason in _IMAGE_REASONS:
            return _problem("CodeReady", refused, str(reason))
        case DeployedImage() as image:
            return Finding("CodeReady", "True", Reason.CODE_PUBLISHED, image.reference)
    return None


def references_exist(observed: Observation) -> Finding | None:
    """Secrets and ConfigMaps that variables are taken from."""
    if observed.references is None:
        return None
    return _problem(None, observed.references, "InvalidConfiguration", outside=True)


def network_exists(observed: Observation) -> Finding | None:
    """Subnets and security groups of the vpcConfig."""
    match observed.network:
        case Problem() as missing:
            return _problem("NetworkReady", missing, str(missing.reason), outside=True)
        case DeployedNetwork() as found:
            message = f"subnets {', '.join(found.subnets)}; security groups {', '.join(found.security_groups)}"
            return Finding("NetworkReady", "True", Reason.NETWORK_FOUND, message)
    return None


def network_is_enforced(observed: Observation) -> Finding | None:
    """Whether packets that the vpcConfig forbids are kept back, as far as was tried. `network` says what follows."""
    if observed.enforcement is None:
        return None
    kind, status, _, message = enforcement_fact(observed.enforcement)
    return Finding(kind, status, observed.enforcement.reason, message, only_told=True)


def layers_fit(observed: Observation) -> Finding | None:
    """Layer versions: there, and fit for the function."""
    match observed.layers:
        case Problem(reason=Reason.CODE_STORE_UNAVAILABLE) as away:
            return _problem("LayersReady", away, "InternalError", ours=True)
        case Problem(reason=Reason.IN_PROGRESS) as awaited:
            return _awaited("LayersReady", awaited)
        case Problem() as refused:
            return _problem("LayersReady", refused, "InvalidConfiguration")
        case ():
            return None
        case layers:
            return Finding("LayersReady", "True", Reason.LAYERS_FOUND, ", ".join(layer.arn for layer in layers))


def code_is_signed(observed: Observation) -> Finding | None:
    """Signatures of code and layers. What the configuration merely warns of is told, and deployed (§1.5.4)."""
    match observed.signing:
        case Problem(reason=Reason.CODE_STORE_UNAVAILABLE) as away:
            return _problem("CodeSigned", away, "InternalError", ours=True)
        case Problem() as refused:
            return _problem("CodeSigned", refused, "InvalidConfiguration")
        case DeployedSigning(untrusted=[_, *_] as untrusted):
            text = "; ".join(each.problem for each in untrusted)
            return Finding("CodeSigned", "False", Reason.SIGNATURE_NOT_TRUSTED, text, only_told=True)
        case DeployedSigning(profile_version_arn=str() as publisher, job=job):
            return Finding("CodeSigned", "True", Reason.SIGNATURE_TRUSTED, f"signed by {publisher}, job {job}")
        case DeployedSigning():
            text = "the code was deployed before signatures were asked for: that of the next code is looked at"
            return Finding("CodeSigned", "Unknown", Reason.SIGNATURE_NOT_CHECKED, text, only_told=True)
    return None


def file_systems_mount(observed: Observation) -> Finding | None:
    """Access points, as far as anybody can know before a pod mounts them."""
    match observed.file_systems:
        case Problem(reason=Reason.VPC_REQUIRED) as refused:
            return _problem("FileSystemReady", refused, "InvalidConfiguration")
        case Problem(reason=Reason.IN_PROGRESS) as awaited:
            return _awaited("FileSystemReady", awaited, outside=True)
        case Problem() as unavailable:
            return _problem("FileSystemReady", unavailable, "EFSMountFailure", outside=True)
        case ():
            return None
        case mounted:
            text = ", ".join(f"{each.access_point} at {each.mount_path}" for each in mounted)
            return Finding("FileSystemReady", "True", Reason.FILE_SYSTEM_READY, text)


def file_systems_were_mounted(observed: Observation) -> Finding | None:
    """What became of the last mount. A function whose file system comes back needs no new deployment."""
    found = observed.mounted
    if found is None:
        return None
    known = found.reason in Reason
    reason = Reason(found.reason) if known else Reason.FILE_SYSTEM_UNAVAILABLE
    return Finding("FileSystemMounted", found.status, reason, found.message, only_told=True)


def concurrency_is_granted(observed: Observation) -> Finding | None:
    """The reservation; one that is refused keeps nothing from running."""
    kind, grant = "ConcurrencyGranted", observed.grant
    if grant.refusal:
        return Finding(kind, "False", Reason.REFUSED, grant.refusal, hopeless=True, blocks=False)
    if grant.granted is None:
        message = "the function shares the unreserved concurrency of its account"
        return Finding(kind, "True", Reason.NOT_REQUESTED, message)
    return Finding(kind, "True", Reason.GRANTED, f"{grant.granted} concurrent executions are reserved")


def destinations_are_there(observed: Observation) -> Finding | None:
    """Who is told how events ended. What is missing keeps nothing from running."""
    if observed.destinations is None:
        return None
    kind, status, reason, message = observed.destinations
    return Finding(kind, status, Reason(reason), message, blocks=False)


CHECKS: tuple[Check, ...] = (
    spec_is_valid,
    runtime_exists,
    code_is_published,
    image_is_found,
    references_exist,
    network_exists,
    network_is_enforced,
    layers_fit,
    code_is_signed,
    file_systems_mount,
    file_systems_were_mounted,
    concurrency_is_granted,
    destinations_are_there,
)
"""In the order in which a person would want to hear of them."""


def findings(observed: Observation) -> list[Finding]:
    """What was looked at, in order."""
    return [finding for check in CHECKS if (finding := check(observed)) is not None]


def first_fault(found: list[Finding]) -> Finding | None:
    """The first thing that is in the way: of being deployed, before what else is asked for and not there."""
    return min((finding for finding in found if not finding.good), key=lambda finding: not finding.blocks, default=None)


def _awaited(condition: str, problem: Problem, *, outside: bool = False) -> Finding:
    """Of what is about to come."""
    return Finding(condition, "Unknown", problem.reason, problem.message, "Creating", ours=True, outside=outside)


def _problem(
    condition: str | None, problem: Problem, code: str, *, ours: bool = False, outside: bool = False
) -> Finding:
    return Finding(
        condition,
        "False",
        problem.reason,
        problem.message,
        code=code,
        hopeless=problem.terminal,
        ours=ours,
        outside=outside,
    )
