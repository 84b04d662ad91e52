"""What publishing a version of a function gives: the next number, the last version again, or a reason to wait. Pure.

Numbers begin at 1, grow by 1 and are never used again; the same code and configuration is published once (§1.5.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.api.kinds.function import FunctionStatus, LastUpdateStatus
from kubelambda.api.kinds.function_version import FunctionVersionSpec
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.reasons import Reason
from kubelambda.core.function.observation import Problem
from kubelambda.core.function.revision import NOT_OF_ENVIRONMENTS, revision


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A snapshot under the next number."""

    number: int
    deployed: DeployedConfiguration


@dataclass(frozen=True, slots=True)
class SameVersion:
    """Nothing changed since that version was published: it is this one's number too."""

    number: int


def fingerprint(deployed: DeployedConfiguration) -> str:
    """Equal exactly when publishing the one or the other makes no difference."""
    ignored = {"revision": True, "version": True, **NOT_OF_ENVIRONMENTS}
    found = deployed.model_dump(mode="json", by_alias=True, exclude=ignored)
    if deployed.dead_letter_target is not None:
        found["deadLetterTarget"] = deployed.dead_letter_target
    return revision(found)


def snapshot(deployed: DeployedConfiguration, number: int) -> DeployedConfiguration:
    """The configuration of version `number`; `refreshed` gives it its revision."""
    return deployed.model_copy(update={"version": str(number)})


def refreshed(deployed: DeployedConfiguration, runtime: RuntimeSpec) -> DeployedConfiguration:
    """With a revision that also covers what the runtime makes environments from: a new image replaces them."""
    fixed = deployed.model_copy(update={"revision": "0" * 16})
    made_from = fixed.model_dump(mode="json", by_alias=True, exclude=NOT_OF_ENVIRONMENTS)
    made_from |= {"image": runtime.image, "bootstrap": runtime.bootstrap}
    return deployed.model_copy(update={"revision": revision(made_from)})


def publish(
    request: FunctionVersionSpec,
    function: FunctionStatus,
    *,
    generation: int,
    numbers: Mapping[int, str],
) -> NewVersion | SameVersion | Problem:
    """What a request gives. `generation` is the function's; `numbers` has the name of every version's object."""
    deployed = function.deployed
    settled = function.observed_generation == generation
    if not settled or function.last_update_status is LastUpdateStatus.IN_PROGRESS or deployed is None:
        return Problem(Reason.IN_PROGRESS, "the function is being created or updated: it is published after that")
    if function.last_update_status is LastUpdateStatus.FAILED:
        why = function.last_update_status_reason or ""
        return Problem(Reason.FUNCTION_FAILED, f"the last update of the function has failed: {why}")
    if request.code_sha256 is not None and request.code_sha256 != function.code_sha256:
        text = (
            f"CodeSHA256 ({request.code_sha256}) is different from current CodeSHA256 in $LATEST "
            f"({function.code_sha256}). Please try again with the CodeSHA256 in $LATEST."
        )
        return Problem(Reason.CODE_DIFFERS, text, terminal=True)
    last = function.last_published
    if max(numbers, default=0) > (last.version if last else 0):
        return Problem(Reason.IN_PROGRESS, "the last version is being written down")
    if last is not None and last.fingerprint == fingerprint(deployed) and last.version in numbers:
        return SameVersion(last.version)
    number = (last.version if last else 0) + 1
    return NewVersion(number, snapshot(deployed, number))


def retired(numbers: Mapping[int, str], *, keep: int | None, used: set[int]) -> list[str]:
    """Objects of the versions that `spec.versionRetention` lets go: all but the newest `keep`, never a used one."""
    if keep is None:
        return []
    old = sorted(numbers)[:-keep]
    return [numbers[number] for number in old if number not in used]
