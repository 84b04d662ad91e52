"""The shape of an environment: whatever its pod cannot change once it is made, and so which pool can serve it. Pure.

Everything else (code, variables, memory, CPU) comes with the claim. This is the one place that decides it: the operator
makes a pool for every shape that it finds in use, and a frontend takes from the pool of the shape that it starts.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubelambda.api import limits
from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.api.kinds.function_mounts import DeployedFileSystem
from kubelambda.api.kinds.vpc_config import DeployedNetwork

_ID_CHARS = 10


@dataclass(frozen=True, slots=True)
class Shape:
    """What a function needs of its pod. The defaults are the generic shape: what the Runtime and the settings say."""

    ephemeral_storage_mb: int = limits.EPHEMERAL_STORAGE_MIN_MB
    """Size of /tmp."""
    file_systems: tuple[DeployedFileSystem, ...] = ()
    """What is mounted: claim, folder of it, where, and as whom."""
    closed: bool = False
    """Whether it is born closed: nothing gets out before a claim opens what the function's groups allow."""
    zones: tuple[str, ...] = ()
    """Zones that it may run in, sorted; none: anywhere."""
    image: str = ""
    """The function's own image, by its digest; what is run of it comes with the claim."""
    bandwidth_mbit: int | None = None
    """Network in each direction; None: whatever there is."""

    @property
    def generic(self) -> bool:
        """Whether every pod of its runtime's generic pool has this shape."""
        return self == GENERIC

    @property
    def id(self) -> str:
        """A short name of the shape, the same everywhere; empty for the generic one."""
        if self.generic:
            return ""
        mounted = [each.model_dump(mode="json") for each in self.file_systems]
        parts = [self.ephemeral_storage_mb, mounted, self.closed, self.zones, self.image]
        if self.bandwidth_mbit is not None:  # without it, pools are called as before there was any
            parts.append(self.bandwidth_mbit)
        written = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(written.encode()).hexdigest()[:_ID_CHARS]


GENERIC = Shape()


def function_shape(
    ephemeral_storage_mb: int,
    *,
    network: DeployedNetwork | None = None,
    file_systems: Sequence[DeployedFileSystem] = (),
    image: str = "",
    bandwidth_mbit: int | None = None,
) -> Shape:
    """The shape of a function with so much /tmp; no pool pod has less than the least.

    All closed networks in the same zones are one shape: pods are born closed, and the claim says what opens.
    """
    found = Shape(
        max(ephemeral_storage_mb, limits.EPHEMERAL_STORAGE_MIN_MB),
        tuple(file_systems),
        network is not None,
        _zones([network.zones if network else (), *(each.zones for each in file_systems)]),
        image,
        bandwidth_mbit,
    )
    return GENERIC if found == GENERIC else found


def _zones(required: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Where all that ask for zones agree."""
    sets = [set(zones) for zones in required if zones]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def configured_shape(configuration: DeployedConfiguration) -> Shape:
    """The shape of a deployed function."""
    return function_shape(
        configuration.ephemeral_storage,
        network=configuration.network,
        file_systems=configuration.file_systems,
        image=configuration.image.reference if configuration.image else "",
        bandwidth_mbit=configuration.bandwidth_mbit,
    )


def deployed_shape(deployed: Mapping[str, Any]) -> Shape:
    """As `configured_shape`, of a configuration as it is written."""
    network = deployed.get("network")
    return function_shape(
        deployed.get("ephemeralStorage", 0),
        network=DeployedNetwork.model_validate(network) if network else None,
        file_systems=[DeployedFileSystem.model_validate(each) for each in deployed.get("fileSystems") or ()],
        image=(deployed.get("image") or {}).get("reference", ""),
        bandwidth_mbit=deployed.get("bandwidthMbit"),
    )


def looks_generic(spec: Mapping[str, Any]) -> bool:
    """Whether a function that is not deployed yet will have the generic shape, as far as its spec tells."""
    storage, network = spec.get("ephemeralStorage") or {}, spec.get("vpcConfig") or {}
    special = network.get("subnetIds") or spec.get("fileSystemConfigs") or spec.get("packageType") == "Image"
    return not special and function_shape(storage.get("size", 0)).generic
