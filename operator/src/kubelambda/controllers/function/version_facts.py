"""What others may know of a FunctionVersion: its number, what it runs, and what it wants provisioned."""

from dataclasses import dataclass
from sys import intern

from kubelambda.controllers.machinery.watched import Watch
from kubelambda.core.environment.pool_identity import PoolIdentity
from kubelambda.core.environment.shape import deployed_shape
from kubelambda.core.event.named_targets import named_targets
from kubelambda.core.network.network_set import NetworkSet, deployed_set
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import FUNCTION_VERSIONS


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """The parts of a FunctionVersion that others decide by."""

    uid: str
    generation: int
    created: str
    function: str
    number: int | None
    """None until it is published."""
    sha256: str | None
    """The archive that it runs; None for one that only repeats another version."""
    layers: tuple[str, ...]
    """Digests of its layers."""
    layer_arns: tuple[str, ...]
    """Their ARNs."""
    access_points: tuple[str, ...]
    """Names of the AccessPoints that it mounts."""
    claims: tuple[str, ...]
    """PersistentVolumeClaims that it mounts."""
    code_sha256: str | None
    """The same as Lambda writes it."""
    runtime: str | None
    pool: PoolIdentity | None
    """The pool that its environments come from."""
    revision: str | None
    fault: str
    """Why it cannot be invoked."""
    requested: int
    """Provisioned environments that it asks for."""
    allocated: int
    """Those that its status says it has."""
    targets: tuple[str, ...]
    """EventTargets that its destinations name."""
    network: NetworkSet | None
    """The set of subnets and groups that its environments are in."""
    terminating: bool
    settled: bool
    """Whether its status speaks of its spec and says Ready."""


def version_facts(body: Object) -> VersionFacts:
    """The facts of a FunctionVersion object, whatever state it is in."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    deployed = status.get("deployed") or {}
    number = status.get("version")
    ready: Object = next((c for c in status.get("conditions") or [] if c["type"] == "Ready"), {})
    wanted = (spec.get("provisionedConcurrency") or {}).get("provisionedConcurrentExecutions", 0)
    return VersionFacts(
        uid=metadata["uid"],
        generation=metadata["generation"],
        created=metadata["creationTimestamp"],
        function=intern(spec["functionName"]),
        number=int(number) if number else None,
        sha256=(deployed.get("code") or {}).get("sha256"),
        layers=tuple(layer["sha256"] for layer in deployed.get("layers") or ()),
        layer_arns=tuple(intern(layer["arn"]) for layer in deployed.get("layers") or ()),
        access_points=tuple(each["accessPoint"] for each in deployed.get("fileSystems") or ()),
        claims=tuple(each["claim"] for each in deployed.get("fileSystems") or ()),
        code_sha256=status.get("codeSha256"),
        runtime=intern(deployed["runtime"]) if deployed.get("runtime") else None,
        pool=PoolIdentity(intern(deployed["runtime"]), deployed_shape(deployed)) if deployed.get("runtime") else None,
        revision=deployed.get("revision"),
        fault=ready.get("message", "") if ready.get("status") == "False" else "",
        requested=wanted,
        allocated=(status.get("provisionedConcurrency") or {}).get("allocated", 0),
        targets=named_targets(spec),
        network=deployed_set(deployed.get("network")),
        terminating="deletionTimestamp" in metadata,
        settled=ready.get("status") == "True" and status.get("observedGeneration") == metadata["generation"],
    )


WATCHED_VERSIONS = Watch(FUNCTION_VERSIONS, version_facts)
