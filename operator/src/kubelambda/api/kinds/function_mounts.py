"""What is put into environments beside the code: layers in `/opt`, file systems below `/mnt` (§1.3, §10.2)."""

from typing import Annotated

from pydantic import ConfigDict, Field

from kubelambda.api.model import Model

LAYER_NAME = "[a-zA-Z0-9-_]+"
LAYER_ARN = rf"arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\d{{12}}:layer:{LAYER_NAME}:[0-9]+"
LayerVersionName = Annotated[str, Field(pattern=f"^({LAYER_NAME}:[0-9]+|{LAYER_ARN})$", max_length=140)]
"""A version of a layer: `numpy:2` for one of the same namespace, or its ARN."""
PosixId = Annotated[int, Field(ge=1, le=2_147_483_647)]
"""A user or group; not 0, which Pod Security forbids to environments and to whatever prepares them, and no larger than
Kubernetes lets a user of a pod be."""


class CreationInfo(Model):
    """The owner and the mode that a root directory is made with."""

    owner_uid: PosixId
    """User that it belongs to."""
    owner_gid: PosixId
    """Group that it belongs to."""
    permissions: Annotated[str, Field(pattern="^[0-7]{3,4}$")]
    """Its mode in octal digits, as "0755"."""


class FileSystemConfig(Model):
    """A file system mounted into the environments."""

    arn: Annotated[str, Field(pattern=r"^(.*[:/])?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]
    """Name of an AccessPoint in the function's namespace, or an ARN that ends in it."""
    local_mount_path: Annotated[str, Field(pattern="^/mnt/[a-zA-Z0-9-_.]+$", max_length=160)]
    """Where it appears."""


class DeployedLayer(Model):
    """A layer version that environments unpack."""

    model_config = ConfigDict(extra="ignore")

    arn: str
    """ARN of the layer version."""
    sha256: str
    """Hex SHA-256: the archive's address in the code store."""
    size: int
    """In bytes, zipped."""


class DeployedFileSystem(Model):
    """A file system that environments mount: everything that their pods need to know of its AccessPoint."""

    model_config = ConfigDict(extra="ignore")

    access_point: str
    """Name of the AccessPoint."""
    claim: str
    """The PersistentVolumeClaim."""
    sub_path: str = ""
    """Folder of the volume that the function sees as the root; empty: all of it."""
    mount_path: str
    """Where it appears."""
    read_only: bool = False
    """Whether nothing can be written."""
    uid: int | None = None
    """User that the function is, for all that it does."""
    gid: int | None = None
    """Group of that user."""
    secondary_gids: tuple[int, ...] = ()
    """Further groups of that user."""
    creation: CreationInfo | None = None
    """Who gets the folder when it is made."""
    zones: tuple[str, ...] = ()
    """Zones that its volume can be mounted in; none: all of them."""
