"""What a deployed configuration says of the signatures of its code and layers (§1.5.4)."""

from pydantic import ConfigDict

from kubelambda.api.model import Model


class UntrustedArchive(Model):
    """Code or a layer that was deployed though its signature is not trusted."""

    model_config = ConfigDict(extra="ignore")

    sha256: str
    """The archive."""
    problem: str
    """Why, for people."""


class DeployedSigning(Model):
    """Who signed what is deployed (§1.5.4)."""

    model_config = ConfigDict(extra="ignore")

    config: str
    """ARN of the code signing configuration by which it was checked."""
    profile_version_arn: str | None = None
    """Who signed the code."""
    job: str | None = None
    """Which signature of theirs it is."""
    untrusted: list[UntrustedArchive] = []
    """What was deployed with a warning."""
