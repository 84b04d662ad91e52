"""Container images of functions: how a spec overrides what they run, and what is deployed of them (§1.3)."""

from typing import Annotated, Final

from pydantic import ConfigDict, Field

from kubelambda.api.model import Model

IMAGE_RUNTIME: Final = "image"
"""Name of the Runtime whose image is the agent that stands beside a function's own."""
_Words = Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=1500)]


class ImageConfig(Model):
    """What replaces the image's own settings."""

    entry_point: _Words = []
    """Instead of its ENTRYPOINT."""
    command: _Words = []
    """Instead of its CMD."""
    working_directory: Annotated[str, Field(max_length=1000)] | None = None
    """Instead of its WORKDIR."""


class DeployedImage(Model):
    """The image that environments run, pinned when it was deployed."""

    model_config = ConfigDict(extra="ignore")

    uri: str
    """As the spec named it."""
    reference: str
    """The same image by its digest: what pods are made from."""
    entry_point: list[str] = []
    """The image's own."""
    command: list[str] = []
    """The image's own."""
    working_directory: str = ""
    """The image's own."""
    config: ImageConfig = ImageConfig()
    """What the function says instead."""

    @property
    def digest(self) -> str:
        """Hex SHA-256 of its manifest."""
        return self.reference.rpartition("@sha256:")[2]

    @property
    def arguments(self) -> tuple[str, ...]:
        """What is run. An entry point of the function's own leaves the image's command behind, as in Docker."""
        if self.config.entry_point:
            return (*self.config.entry_point, *self.config.command)
        return (*self.entry_point, *(self.config.command or self.command))

    @property
    def folder(self) -> str:
        """Where it runs."""
        return self.config.working_directory or self.working_directory
