"""The `AccessPoint` custom resource: a folder of a shared volume, and who functions are in it (§10.2)."""

from typing import Annotated

from pydantic import ConfigDict, Field

from kubelambda.api.conditions import Condition
from kubelambda.api.kinds.function_code import ObjectName
from kubelambda.api.kinds.function_mounts import CreationInfo, PosixId
from kubelambda.api.model import Model
from kubelambda.api.validations import rule, rules


class PosixUser(Model):
    """The user that functions are, for every file that they touch: their environments run as nobody else."""

    uid: PosixId
    """User id; not 0, which Pod Security forbids to environments."""
    gid: PosixId
    """Group id."""
    secondary_gids: Annotated[list[PosixId], Field(max_length=16)] = []
    """Further groups that the user is in."""


class AccessPointSpec(Model):
    """What people write."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!self.rootDirectory.split('/').exists(part, part in ['.', '..'])",
                "rootDirectory has no . and no .. in it",
                fieldPath=".rootDirectory",
            )
        )
    )

    persistent_volume_claim: ObjectName
    """Name of a PersistentVolumeClaim in the namespace, whose access mode is ReadWriteMany."""
    root_directory: Annotated[str, Field(pattern=r"^(/|(/[^/:\x00]+){1,4})$", max_length=100)] = "/"
    """Folder of the volume that functions see as the root; made when it is missing, by creationInfo if there is one.

    Without, it is root's, with the mode of the volume's own root. Folders above it are always made like that.
    """
    posix_user: PosixUser | None = None
    """Who functions are; absent: the user that every environment has."""
    creation_info: CreationInfo | None = None
    """Who gets the root directory when it is made; one that is there already stays as it is."""
    read_only: bool = False
    """Whether nothing can be written."""


class AccessPointStatus(Model):
    """What the operator reports."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    zones: list[str] = []
    """Zones that its volume can be mounted in; none: all of them, as far as the volume says."""
    held_claims: list[str] = []
    """PersistentVolumeClaims that are kept from being deleted for those who use it."""
    conditions: Annotated[
        list[Condition],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = []
    """Ready; Mounted, once an environment has tried."""
