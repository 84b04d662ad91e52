"""File systems of a function: its access points, and whether they can be mounted (§10.2). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubelambda.api.conditions import Fact, conditions_of, merge
from kubelambda.api.kinds.access_point import AccessPointSpec, AccessPointStatus
from kubelambda.api.kinds.function_mounts import DeployedFileSystem, FileSystemConfig
from kubelambda.api.reasons import Reason
from kubelambda.core.function.observation import Problem

_SHARED = "ReadWriteMany"


@dataclass(frozen=True, slots=True)
class AccessPointFacts:
    """The parts of an AccessPoint that functions are deployed by."""

    spec: AccessPointSpec
    ready: bool
    message: str
    """What its Ready condition says."""


def access_point_name(arn: str) -> str:
    """Name of the AccessPoint that a function names by `arn`, which may be the name alone."""
    return arn.replace(":", "/").rpartition("/")[2]


def deployed_file_systems(
    configs: Sequence[FileSystemConfig], access_points: Mapping[str, AccessPointFacts]
) -> tuple[DeployedFileSystem, ...] | Problem:
    """What environments mount; `access_points` are those of the function's namespace."""
    found = []
    for config in configs:
        name = access_point_name(config.arn)
        known = access_points.get(name)
        if known is None:
            return Problem(Reason.FILE_SYSTEM_UNAVAILABLE, f"AccessPoint {name} does not exist")
        if not known.ready:
            return Problem(Reason.FILE_SYSTEM_UNAVAILABLE, f"AccessPoint {name} cannot be mounted: {known.message}")
        found.append(_deployed(name, config, known.spec))
    return tuple(found)


def network_problem(configs: Sequence[FileSystemConfig], *, closed: bool, required: bool) -> Problem | None:
    """Lambda mounts file systems in a VPC only; whether that is `required` here is the installation's choice."""
    if closed or not required:
        return None
    name = access_point_name(configs[0].arn)
    text = f"Function must be configured to execute in a VPC to reference access point {name}."
    return Problem(Reason.VPC_REQUIRED, text, terminal=True)


def _deployed(name: str, config: FileSystemConfig, spec: AccessPointSpec) -> DeployedFileSystem:
    return DeployedFileSystem(
        access_point=name,
        claim=spec.persistent_volume_claim,
        sub_path=spec.root_directory.strip("/"),
        mount_path=config.local_mount_path,
        read_only=spec.read_only,
        uid=spec.posix_user.uid if spec.posix_user else None,
        gid=spec.posix_user.gid if spec.posix_user else None,
    )


def claim_problem(name: str, claim: Mapping[str, Any] | None) -> Problem | None:
    """Why the PersistentVolumeClaim `name` cannot be shared by environments.

    One that is not bound yet is no problem: many are bound only when the first pod wants them.
    """
    if claim is None:
        return Problem(Reason.CLAIM_MISSING, f"PersistentVolumeClaim {name} does not exist")
    modes = (claim.get("spec") or {}).get("accessModes") or []
    if _SHARED not in modes:
        text = f"PersistentVolumeClaim {name} has the access mode {', '.join(modes)}, not {_SHARED}"
        return Problem(Reason.CLAIM_NOT_SHARED, text)
    if (claim.get("status") or {}).get("phase") == "Lost":
        return Problem(Reason.CLAIM_LOST, f"PersistentVolumeClaim {name} has lost its volume")
    return None


def decide_access_point(
    before: AccessPointStatus, generation: int, problem: Problem | None, now: datetime, holders: Sequence[str] = ()
) -> AccessPointStatus:
    """The status to report; `holders` keep it from being deleted, when somebody wants that."""
    ready: Fact = ("Ready", "True", Reason.FILE_SYSTEM_READY, "functions can mount it")
    told = [ready] if problem is None else problem.facts
    if holders:
        text = f"in use by {', '.join(holders)}: it goes when they mount it no more"
        told.append(("DeletionRefused", "True", Reason.IN_USE, text))
    conditions = conditions_of(told, now, generation=generation)
    return AccessPointStatus(observed_generation=generation, conditions=merge(before.conditions, conditions))
