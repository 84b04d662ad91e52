"""The `FunctionVersion` custom resource: an immutable, numbered snapshot of a Function (§1.5.1)."""

from typing import Annotated

from pydantic import ConfigDict, Field

from kubelambda.api import limits
from kubelambda.api.conditions import Condition
from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.api.kinds.event_invoke_config import EventInvokeConfig
from kubelambda.api.kinds.function import State
from kubelambda.api.kinds.provisioned_concurrency import ProvisionedConcurrencyStatus, VersionProvisionedConcurrency
from kubelambda.api.model import Model
from kubelambda.api.validations import rule, rules

FunctionName = Annotated[
    str, Field(pattern="^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=limits.FUNCTION_NAME_MAX_CHARS)
]
CodeSha256 = Annotated[str, Field(pattern="^[A-Za-z0-9+/]{43}=$")]
"""Base64 of a SHA-256, as Lambda writes it."""


class FunctionVersionSpec(Model):
    """What publishes a version: the name of its Function. The rest is the snapshot's, in the status."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.functionName == oldSelf.functionName", "a version belongs to its function: functionName is fixed"
            ),
            rule(
                "self.description == oldSelf.description", "a published version is never edited: description is fixed"
            ),
            rule(
                "has(self.codeSha256) == has(oldSelf.codeSha256) "
                "&& (!has(self.codeSha256) || self.codeSha256 == oldSelf.codeSha256)",
                "a published version is never edited: codeSha256 is fixed",
            ),
        )
    )

    function_name: FunctionName
    """Name of the Function, in the same namespace."""
    description: Annotated[str, Field(max_length=limits.DESCRIPTION_MAX_CHARS)] = ""
    """What the version is for."""
    code_sha256: CodeSha256 | None = None
    """Publishes only the code with this digest, in base64: a change that came in between is refused."""
    provisioned_concurrency: VersionProvisionedConcurrency | None = None
    """Environments that are kept initialized for invocations of this version."""
    event_invoke_config: EventInvokeConfig | None = None
    """Asynchronous invocation of this version."""


class FunctionVersionStatus(Model):
    """The snapshot, and what the operator reports of it."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    version: str | None = None
    """The number, never used again while the function exists."""
    function_arn: str | None = None
    """Qualified ARN."""
    state: State | None = None
    """Whether the version can be invoked."""
    state_reason: str | None = None
    """Why, for people."""
    state_reason_code: str | None = None
    """Why, for programs (§1.4.6)."""
    last_modified: str | None = None
    """When it was published."""
    code_size: int | None = None
    """Size of the archive in bytes."""
    code_sha256: str | None = None
    """Base64 SHA-256 of the archive."""
    deployed: DeployedConfiguration | None = None
    """What environments run: frontends read nothing else."""
    provisioned_concurrency: ProvisionedConcurrencyStatus | None = None
    """Its provisioned environments."""
    conditions: Annotated[
        list[Condition],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = []
    """Ready; ProvisionedConcurrencyReady and DestinationsReady where they are asked for; Reconciling, Stalled or
    DeletionRefused."""
