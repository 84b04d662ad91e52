"""What others may know of a Function: whether it needs work, and what decisions about other objects need."""

from dataclasses import dataclass
from sys import intern

from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.core.code.layer_reference import parse_layer
from kubelambda.core.environment.pool_identity import PoolIdentity
from kubelambda.core.environment.shape import deployed_shape, looks_generic
from kubelambda.core.event.named_targets import named_targets
from kubelambda.core.file_system.access_point_arn import access_point_name
from kubelambda.core.function.version_publication import fingerprint
from kubelambda.core.network.network_set import NetworkSet, deployed_set, network_set
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import FUNCTIONS


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """The parts of a Function that others decide by."""

    uid: str
    generation: int
    created: str
    runtime: str | None
    pools: tuple[PoolIdentity, ...]
    """The pools that its environments come from: as it is deployed, and as far as its spec tells."""
    requested: int | None
    """Reserved concurrency that it asks for."""
    granted: int | None
    """Reserved concurrency that its status says it has."""
    deployed: bool
    """Whether anything is."""
    sha256: str | None
    """The archive that is deployed; None for a container image."""
    stored: str | None
    """Digest of an archive that came by the control API: nothing but the store has it."""
    networks: tuple[NetworkSet, ...]
    """The sets of subnets and groups that its vpcConfig names, and that its deployment is in."""
    layers: tuple[str, ...]
    """Digests of the layers that are deployed."""
    layer_versions: tuple[str, ...]
    """Names of the LayerVersions that its spec names."""
    layer_arns: tuple[str, ...]
    """ARNs of the layers that are deployed."""
    named_arns: tuple[str, ...]
    """Layer versions that its spec names by ARN: those may be of other accounts."""
    signing_config: str | None
    """The CodeSigningConfig that its spec names, by name or ARN."""
    access_points: tuple[str, ...]
    """Names of the AccessPoints that its spec names, and that its deployment mounts."""
    claims: tuple[str, ...]
    """PersistentVolumeClaims that its deployment mounts."""
    targets: tuple[str, ...]
    """EventTargets that its destinations name."""
    settled: bool
    """Whether its status speaks of its spec and says Ready."""
    lambda_name: str | None
    """Lambda's name for it, where the object is called otherwise."""
    description: str
    publish: bool
    """Whether each change publishes a version."""
    publishable: bool
    """Whether what is deployed is what its spec says."""
    fingerprint: str
    """Digest of what is deployed; empty where nothing is."""
    last_version: int
    """Number of the last version that was published."""
    last_fingerprint: str
    """Digest of that."""
    retention: int | None
    """How many versions to keep."""


def function_facts(body: Object) -> FunctionFacts:
    """The facts of a Function object, whatever state it is in."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    deployed = status.get("deployed") or {}
    code = deployed.get("code") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or [])
    last = status.get("lastPublished") or {}
    runtime = spec.get("runtime")
    mounted = [access_point_name(config["arn"]) for config in spec.get("fileSystemConfigs") or ()]
    mounted += [each["accessPoint"] for each in deployed.get("fileSystems") or ()]
    return FunctionFacts(
        uid=metadata["uid"],
        generation=metadata["generation"],
        created=metadata["creationTimestamp"],
        runtime=intern(runtime) if runtime else None,
        pools=_pools(spec, deployed),
        requested=spec.get("reservedConcurrentExecutions"),
        granted=status.get("reservedConcurrentExecutions"),
        deployed=bool(deployed),
        sha256=None if "image" in deployed else code.get("sha256"),
        stored=((spec.get("code") or {}).get("stored") or {}).get("sha256"),
        networks=_networks(spec, status),
        layers=tuple(layer["sha256"] for layer in deployed.get("layers") or ()),
        layer_versions=tuple(found.object_name for name in spec.get("layers") or () if (found := parse_layer(name))),
        layer_arns=tuple(intern(layer["arn"]) for layer in deployed.get("layers") or ()),
        named_arns=tuple(intern(name) for name in spec.get("layers") or () if name.startswith("arn:")),
        signing_config=intern(signing) if (signing := spec.get("codeSigningConfigArn")) else None,
        access_points=tuple(dict.fromkeys(mounted)),
        claims=tuple(each["claim"] for each in deployed.get("fileSystems") or ()),
        targets=named_targets(spec),
        settled=ready and status.get("observedGeneration") == metadata["generation"],
        lambda_name=spec.get("functionName"),
        description=spec.get("description", ""),
        publish=spec.get("publish", False),
        publishable=(
            status.get("lastUpdateStatus") == "Successful"
            and status.get("observedGeneration") == metadata["generation"]
        ),
        fingerprint=_fingerprint(status.get("deployed")) if spec.get("publish") else "",
        last_version=last.get("version", 0),
        last_fingerprint=last.get("fingerprint", ""),
        retention=spec.get("versionRetention"),
    )


def _pools(spec: Object, deployed: Object) -> tuple[PoolIdentity, ...]:
    found = []
    if deployed.get("runtime"):
        found.append(PoolIdentity(intern(deployed["runtime"]), deployed_shape(deployed)))
    limited = "bandwidthMbit" in deployed
    if spec.get("runtime") and looks_generic(spec) and not limited:  # its pool fills while its code is being fetched
        found.append(PoolIdentity(intern(spec["runtime"])))
    return tuple(dict.fromkeys(found))


def _fingerprint(deployed: Object | None) -> str:
    return fingerprint(DeployedConfiguration.model_validate(deployed, extra="ignore")) if deployed else ""


def _networks(spec: Object, status: Object) -> tuple[NetworkSet, ...]:
    wanted = spec.get("vpcConfig") or {}
    found = (
        network_set(wanted.get("subnetIds", ()), wanted.get("securityGroupIds", ())),
        deployed_set((status.get("deployed") or {}).get("network")),
    )
    return tuple(sorted({each for each in found if each is not None}, key=lambda each: each.id))


WATCHED_FUNCTIONS = Watch(FUNCTIONS, function_facts)
