"""What is deployed of a Function or a version: all that frontends read of the two (§1.4.3).

A module of its own: a process that runs functions has no need of the models of what people write.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from kubelambda.api import limits
from kubelambda.api.kinds.deployed_signing import DeployedSigning
from kubelambda.api.kinds.environment_variables import EnvironmentVariables
from kubelambda.api.kinds.function_image import DeployedImage
from kubelambda.api.kinds.function_mounts import DeployedFileSystem, DeployedLayer
from kubelambda.api.kinds.vpc_config import DeployedNetwork
from kubelambda.api.model import Model


class DeployedCode(Model):
    """The archive that environments run."""

    model_config = ConfigDict(extra="ignore")

    sha256: str
    """Hex SHA-256: the archive's address in the code store."""
    size: int
    """In bytes, zipped."""
    source: str | None = None
    """Where it was fetched from, by name: what is there now is fetched when the function names another source."""
    resolved: str | None = None
    """What that name stood for: an artifact by its digest."""


class DeployedConfiguration(Model):
    """The snapshot that frontends run: the last spec whose code was verified and published.

    Frontends read nothing but this, so that a broken or half-done update leaves the previous one serving (§1.4.3).
    Fields of a later release are ignored: while a release rolls out, old frontends read what new operators write.
    """

    model_config = ConfigDict(extra="ignore")

    revision: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    """Changes whenever environments of the previous configuration must not serve any more."""
    function_name: str | None = None
    """Lambda's name, where it is not the object's."""
    version: str = "$LATEST"
    """Version number, or $LATEST."""
    runtime: str
    """Name of the Runtime; `image` for a container image."""
    handler: str
    """Entry point; empty for a container image."""
    code: DeployedCode
    """The code; the digest of a container image, which no code store has."""
    image: DeployedImage | None = None
    """The container image, of a function that is one."""
    memory_size: int
    """In MB."""
    timeout: int
    """In seconds."""
    ephemeral_storage: int = limits.EPHEMERAL_STORAGE_MIN_MB
    """In MB."""
    environment: EnvironmentVariables = EnvironmentVariables()
    """Variables; references are resolved when an environment starts."""
    log_group: str
    """Name of the log group."""
    network: DeployedNetwork | None = None
    """The closed network of its environments; None: they may reach what everybody may."""
    layers: list[DeployedLayer] = []
    """Layer versions, in the order in which they are unpacked."""
    file_systems: list[DeployedFileSystem] = []
    """File systems that are mounted."""
    dead_letter_target: str | None = None
    """ARN of its dead-letter queue; environments know nothing of it."""
    signing: DeployedSigning | None = None
    """What was found when code and layers were checked; None of a function without a code signing configuration."""
    bandwidth_mbit: int | None = None
    """Mbit/s in each direction, where the installation shares the network out by memory."""

    @property
    def archives(self) -> list[DeployedCode | DeployedLayer]:
        """Everything that environments unpack, in order."""
        return [*([] if self.image else [self.code]), *self.layers]
