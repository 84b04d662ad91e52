"""The `CodeSigningConfig` custom resource: who may sign code of functions, and what becomes of other code (§1.5.4)."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from kubelambda.api import limits
from kubelambda.api.conditions import Condition
from kubelambda.api.kinds.signing_profile import ProfileVersionArn
from kubelambda.api.model import Model


class UntrustedArtifact(StrEnum):
    """What becomes of code that is not signed, or by nobody who may, or not any more."""

    WARN = "Warn"
    ENFORCE = "Enforce"


class AllowedPublishers(Model):
    """Who may sign."""

    signing_profile_version_arns: Annotated[list[ProfileVersionArn], Field(min_length=1, max_length=20)]
    """Versions of signing profiles, whose keys the SigningProfiles of the namespace have."""


class CodeSigningPolicies(Model):
    """What becomes of code whose signature is not trusted; damaged code is refused in any case."""

    untrusted_artifact_on_deployment: UntrustedArtifact = UntrustedArtifact.WARN
    """Warn: it is deployed, counted and told of. Enforce: it is refused."""


class CodeSigningConfigSpec(Model):
    """What people write. Field names are those of the Lambda API."""

    description: Annotated[str, Field(max_length=limits.DESCRIPTION_MAX_CHARS)] = ""
    """What it is for."""
    allowed_publishers: AllowedPublishers
    """Who may sign."""
    code_signing_policies: CodeSigningPolicies = CodeSigningPolicies()
    """What becomes of other code."""
    tags: Annotated[dict[str, Annotated[str, Field(max_length=256)]], Field(max_length=50)] = {}
    """Tags, for people and for the control API."""


class CodeSigningConfigStatus(Model):
    """What the operator reports."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    code_signing_config_id: str | None = None
    """Lambda's id."""
    code_signing_config_arn: str | None = None
    """What functions may name it by, beside its name."""
    conditions: Annotated[
        list[Condition],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = []
    """Ready while the key of every publisher is known; DeletionRefused while somebody wants it gone that is used."""
