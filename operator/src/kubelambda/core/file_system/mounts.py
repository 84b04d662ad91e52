"""File systems of a function: its access points, and whether they can be mounted (§10.2). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubelambda.api import labels
from kubelambda.api.conditions import Condition, Fact, conditions_of, merge
from kubelambda.api.kinds.access_point import AccessPointSpec, AccessPointStatus
from kubelambda.api.kinds.function_mounts import DeployedFileSystem, FileSystemConfig
from kubelambda.api.reasons import Reason
from kubelambda.core.file_system.access_point_arn import access_point_name
from kubelambda.core.function.observation import Problem

_SHARED = "ReadWriteMany"
_ZONES = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")


@dataclass(frozen=True, slots=True)
class AccessPointFacts:
    """The parts of an AccessPoint that functions are deployed by."""

    spec: AccessPointSpec
    ready: bool
    message: str
    """What its Ready condition says."""
    zones: tuple[str, ...] = ()
    """Zones that its volume can be mounted in; none: all of them, as far as anybody knows."""
    mounted: Condition | None = None
    """Whether an environment could mount it, where that was tried."""
    held: tuple[str, ...] = ()
    """Claims that are held for it."""
    looked_at: bool = True
    """Whether its status speaks of its spec."""
    claim_missing: bool = False
    """Whether there was no such claim when it was looked at."""


@dataclass(frozen=True, slots=True)
class FoundClaim:
    """A claim that environments can mount."""

    name: str
    bound: bool
    zones: tuple[str, ...] = ()
    """Zones of its volume; none: all of them, or not known yet."""

    @property
    def fact(self) -> Fact:
        """What the Ready condition says."""
        if self.bound:
            return "Ready", "True", Reason.FILE_SYSTEM_READY, "functions can mount it"
        text = f"PersistentVolumeClaim {self.name} has no volume yet: it gets one with the first environment, or never"
        return "Ready", "True", Reason.CLAIM_UNBOUND, text


def deployed_file_systems(
    configs: Sequence[FileSystemConfig],
    access_points: Mapping[str, AccessPointFacts],
    zones: Sequence[str] = (),
) -> tuple[DeployedFileSystem, ...] | Problem:
    """What environments mount; `access_points` are those of the function's namespace, `zones` those of its subnets."""
    found = []
    for config in configs:
        name = access_point_name(config.arn)
        known = access_points.get(name)
        if known is None:
            return Problem(Reason.FILE_SYSTEM_UNAVAILABLE, f"AccessPoint {name} does not exist")
        if not known.looked_at:
            return Problem(Reason.IN_PROGRESS, f"AccessPoint {name} {known.message}")
        if not known.ready:
            return Problem(Reason.FILE_SYSTEM_UNAVAILABLE, f"AccessPoint {name} cannot be mounted: {known.message}")
        if zones and known.zones and not set(zones) & set(known.zones):
            text = (
                f"AccessPoint {name} cannot be mounted: its volume is in {', '.join(known.zones)}, and the function's "
                f"subnets are in {', '.join(zones)}"
            )
            return Problem(Reason.OTHER_ZONE, text)
        found.append(_deployed(name, config, known))
    return tuple(found)


def network_problem(configs: Sequence[FileSystemConfig], *, closed: bool, required: bool) -> Problem | None:
    """Lambda mounts file systems in a VPC only; whether that is `required` here is the installation's choice."""
    if closed or not required:
        return None
    name = access_point_name(configs[0].arn)
    text = f"Function must be configured to execute in a VPC to reference access point {name}."
    return Problem(Reason.VPC_REQUIRED, text, terminal=True)


def _deployed(name: str, config: FileSystemConfig, facts: AccessPointFacts) -> DeployedFileSystem:
    spec = facts.spec
    return DeployedFileSystem(
        access_point=name,
        claim=spec.persistent_volume_claim,
        sub_path=spec.root_directory.strip("/"),
        mount_path=config.local_mount_path,
        read_only=spec.read_only,
        uid=spec.posix_user.uid if spec.posix_user else None,
        gid=spec.posix_user.gid if spec.posix_user else None,
        secondary_gids=tuple(spec.posix_user.secondary_gids) if spec.posix_user else (),
        creation=spec.creation_info,
        zones=facts.zones,
    )


def claim_problem(name: str, claim: Mapping[str, Any] | None, users: Sequence[str] = ()) -> Problem | None:
    """Why the PersistentVolumeClaim `name` cannot be shared by environments. `users` hold it.

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
    if "deletionTimestamp" in claim["metadata"]:
        text = f"PersistentVolumeClaim {name} is being deleted: nothing new can mount it"
        held = f"; it stays until it is not used any more by {', '.join(users)}" if users else ""
        return Problem(Reason.CLAIM_TERMINATING, text + held)
    return None


def unbound(claim: Mapping[str, Any] | None) -> bool:
    """Whether a claim waits for a volume."""
    return claim is not None and (claim.get("status") or {}).get("phase") == "Pending"


def volume_zones(volume: Mapping[str, Any]) -> tuple[str, ...]:
    """Zones in which a PersistentVolume can be mounted, sorted; none when it is bound to no zone."""
    affinity = ((volume.get("spec") or {}).get("nodeAffinity") or {}).get("required") or {}
    terms = affinity.get("nodeSelectorTerms") or []
    found = [_term_zones(term) for term in terms]
    if not all(found):  # one of them allows every zone
        return ()
    return tuple(sorted(set().union(*found)))


def _term_zones(term: Mapping[str, Any]) -> set[str]:
    expressions = term.get("matchExpressions") or []
    sets = [set(each["values"]) for each in expressions if each["key"] in _ZONES and each["operator"] == "In"]
    return set.intersection(*sets) if sets else set()


def decide_access_point(
    before: AccessPointStatus,
    generation: int,
    found: FoundClaim | Problem,
    now: datetime,
    *,
    holders: Sequence[str] = (),
    held: Sequence[str] = (),
    unheld: Sequence[str] = (),
    stuck: Sequence[str] = (),
) -> AccessPointStatus:
    """The status to report: our part of it, without what frontends say.

    `holders` keep the object from being deleted, when somebody wants that; `held` are the claims that are held for it,
    `unheld` those that are in use and that nothing keeps, `stuck` those that were held and that nobody lets go.
    """
    if isinstance(found, Problem):
        told, zones = found.facts, before.zones
    else:
        told, zones = [found.fact], list(found.zones)
    if holders:
        text = f"in use by {', '.join(holders)}: it goes when they mount it no more"
        told.append(("DeletionRefused", "True", Reason.IN_USE, text))
    if stuck:
        text = (
            f"PersistentVolumeClaim {', '.join(stuck)} is held since before the admission policy was switched off, and "
            "the operator cannot let go: "
            f"deleted, it stays until somebody takes its finalizer {labels.CLAIM_FINALIZER} away"
        )
        told.append(("ClaimHeld", "True", Reason.NOT_LET_GO, text))
    elif unheld:
        text = (
            f"functions mount PersistentVolumeClaim {', '.join(unheld)}, which goes when somebody deletes it: "
            "claims are held only with the admission policy (admissionPolicy.enabled)"
        )
        told.append(("ClaimHeld", "False", Reason.NOT_HELD, text))
    conditions = conditions_of(told, now, generation=generation)
    return AccessPointStatus(
        observed_generation=generation,
        zones=zones,
        held_claims=sorted(held),
        conditions=merge(before.conditions, conditions),
    )
