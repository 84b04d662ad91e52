"""The `AccessPoint` custom resource: a folder of a shared volume, and who functions are in it (§10.2)."""

from typing import Annotated

from pydantic import ConfigDict, Field

from kubelambda.api.conditions import Condition
from kubelambda.api.kinds.function_code import ObjectName
from kubelambda.api.model import Model
from kubelambda.api.validations import rule, rules

_ID_MAX = 4_294_967_294


class PosixUser(Model):
    """The user that functions are, for every file that they touch: their environments run as nobody else."""

    uid: Annotated[int, Field(ge=1, le=_ID_MAX)]
    """User id; not 0, which Pod Security forbids to environments."""
    gid: Annotated[int, Field(ge=1, le=_ID_MAX)]
    """Group id."""


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
    """Folder of the volume that functions see as the root; it is made when it is missing, with the volume's mode."""
    posix_user: PosixUser | None = None
    """Who functions are; absent: the user that every environment has."""
    read_only: bool = False
    """Whether nothing can be written."""


class AccessPointStatus(Model):
    """What the operator reports."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    conditions: Annotated[
        list[Condition],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = []
    """Ready."""
