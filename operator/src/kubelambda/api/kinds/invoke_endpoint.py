"""The `InvokeEndpoint` custom resource: a private address to invoke the functions of a namespace from.

Who reaches it says the network, who may invoke what through it says its policy; nothing else is served there.
"""

from typing import Annotated, Literal

from pydantic import Field

from kubelambda.api.conditions import Condition
from kubelambda.api.model import Model

type NamespaceName = Annotated[str, Field(max_length=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
type Pattern = Annotated[str, Field(min_length=1, max_length=512)]


class EndpointStatement(Model):
    """Who may, or may not, invoke what. A Deny outweighs every Allow, and what no statement is about is denied."""

    effect: Literal["Allow", "Deny"] = "Allow"
    """What follows for those whom it is about."""
    principals: Annotated[list[Pattern], Field(min_length=1, max_length=60)]
    """Callers, `*` and `?` as wildcards: users and groups of Kubernetes, as system:serviceaccount:team-b:*, or ARNs of
    access keys' users, as arn:aws:iam::123456789012:user/ci. `*` alone: everybody who reaches it, proven or not."""
    functions: Annotated[list[Annotated[str, Field(min_length=1, max_length=205)]], Field(min_length=1, max_length=60)]
    """Functions of the namespace, with wildcards: hello for the unqualified function and $LATEST, hello:live for an
    alias or a version of it."""


class InvokeEndpointSpec(Model):
    """What people write."""

    allowed_namespaces: Annotated[list[NamespaceName], Field(max_length=100)] = []
    """Namespaces whose pods reach it."""
    security_group_ids: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=5)] = []
    """SecurityGroups of its own namespace whose members reach it, pods and environments of functions alike."""
    policy: Annotated[list[EndpointStatement], Field(max_length=60)] = []
    """Who may invoke what; empty: nobody."""


class InvokeEndpointStatus(Model):
    """What the operator reports."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    address: str | None = None
    """Address of its Service."""
    dns_name: str | None = None
    """Name of that within the cluster."""
    frontend_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """Port of the frontends that is its alone: by it they know what came through it."""
    conditions: Annotated[
        list[Condition],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = []
    """Ready."""
