"""The `Alias` custom resource: a name for one version of a Function, or for two by weight (§1.5.2)."""

from typing import Annotated

from pydantic import ConfigDict, Field

from kubelambda.api import limits
from kubelambda.api.conditions import Condition
from kubelambda.api.kinds.event_invoke_config import EventInvokeConfig
from kubelambda.api.kinds.function_url import FunctionUrl
from kubelambda.api.kinds.function_version import CodeSha256, FunctionName
from kubelambda.api.kinds.provisioned_concurrency import (
    AliasProvisionedConcurrency,
    ProvisionedConcurrencyStatus,
    ScalingState,
)
from kubelambda.api.model import Model
from kubelambda.api.validations import rule, rules

Weights = Annotated[dict[str, Annotated[float, Field(ge=0, le=1)]], Field(max_length=16)]
"""Share of the invocations by version number."""
_WEIGHTED = "has(self.routingConfig) && self.routingConfig.additionalVersionWeights.size() > 0"


class RoutingConfig(Model):
    """A second version that takes a share of the invocations."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.additionalVersionWeights.size() <= 1",
                "Number of items in AdditionalVersionWeights cannot be greater than 1",
            ),
            rule(
                "self.additionalVersionWeights.all(version, version.matches('^[0-9]{1,18}$'))",
                "additionalVersionWeights names published versions: numbers",
            ),
        )
    )

    additional_version_weights: Weights = {}
    """Share of the other version, 0 to 1, by its number: {"4": 0.1}."""


class AliasSpec(Model):
    """What people write."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.functionVersion) != has(self.codeSha256)",
                "give exactly one of functionVersion and codeSha256",
            ),
            rule(
                "self.functionName == oldSelf.functionName", "an alias belongs to its function: functionName is fixed"
            ),
            rule("self.name == oldSelf.name", "the name of an alias is fixed"),
            rule("!self.name.matches('^[0-9]+$')", "the name of an alias is no number", fieldPath=".name"),
            rule(
                f"!({_WEIGHTED}) || !has(self.functionVersion) || self.functionVersion != '$LATEST'",
                "$LATEST is not supported for an alias pointing to more than 1 version",
            ),
            rule(
                f"!({_WEIGHTED}) || !has(self.functionVersion) "
                "|| !(self.functionVersion in self.routingConfig.additionalVersionWeights)",
                "Invalid function version: it is already included in routing configuration.",
                messageExpression="'Invalid function version ' + self.functionVersion + '. Function version ' "
                "+ self.functionVersion + ' is already included in routing configuration.'",
            ),
            rule(
                "!has(self.provisionedConcurrency) || !has(self.functionVersion) || self.functionVersion != '$LATEST'",
                "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
            ),
        )
    )

    function_name: FunctionName
    """Name of the Function, in the same namespace."""
    name: Annotated[str, Field(pattern="^[a-zA-Z0-9_-]+$", min_length=1, max_length=128)]
    """The qualifier that callers use."""
    description: Annotated[str, Field(max_length=limits.DESCRIPTION_MAX_CHARS)] = ""
    """What the alias is for."""
    function_version: Annotated[str, Field(pattern=r"^(\$LATEST|[0-9]{1,18})$")] | None = None
    """Number of the version, or $LATEST."""
    code_sha256: CodeSha256 | None = None
    """The newest version with this code instead, for pipelines that know content and no number."""
    routing_config: RoutingConfig | None = None
    """A second version by weight."""
    provisioned_concurrency: AliasProvisionedConcurrency | None = None
    """Environments that are kept initialized for invocations through this alias."""
    event_invoke_config: EventInvokeConfig | None = None
    """Asynchronous invocation through this alias."""
    url: FunctionUrl | None = None
    """HTTP address of the alias."""


class ScalingActivity(Model):
    """One decision of the scaler (§8.9)."""

    model_config = ConfigDict(extra="ignore")

    time: str
    """When, RFC 3339."""
    status_code: str
    """Pending, InProgress, Successful, Overridden, Unfulfilled or Failed."""
    cause: str
    """One sentence: what was seen, and what was done."""
    from_capacity: int | None = None
    """Environments before."""
    to_capacity: int | None = None
    """Environments after."""


class AliasMove(Model):
    """A version that the alias leads to once its provisioned environments are there."""

    model_config = ConfigDict(extra="ignore")

    version: str
    """Its number."""
    since: str
    """When the move began, RFC 3339."""


class AliasStatus(Model):
    """What the operator reports. The scaler writes scaling, lastScalingActivity and the condition ScalingActive."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    alias_arn: str | None = None
    """Qualified ARN."""
    function_url: str | None = None
    """Its HTTP address, of one with `url`."""
    function_version: str | None = None
    """The version that the spec names, its number found."""
    routed_version: str | None = None
    """What callers get now; it follows once the new version's provisioned environments are there."""
    routed_version_weights: Weights = {}
    """Share of the second version that callers get now, by its number."""
    move: AliasMove | None = None
    """What is being provisioned before callers get it."""
    provisioned_concurrency: ProvisionedConcurrencyStatus | None = None
    """Its provisioned environments."""
    selector: str | None = None
    """Labels of the provisioned pods that callers get, for the scale subresource."""
    last_scaling_activity: ScalingActivity | None = None
    """The scaler's last decision."""
    scaling: ScalingState | None = None
    """What the scaler remembers; the scaler writes it, nobody else."""
    conditions: Annotated[
        list[Condition],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = []
    """Ready; ProvisionedConcurrencyReady, ScalingActive and DestinationsReady where they are asked for; Reconciling or
    Stalled."""
