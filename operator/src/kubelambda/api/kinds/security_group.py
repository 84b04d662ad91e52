"""The `SecurityGroup` custom resource: what its members reach, and who reaches them.

Members are the environments of functions that name it in their vpcConfig, and pods of users with the label
`security-group.kubelambda.dev/<name>: ""`.
"""

from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator

from kubelambda.api.conditions import Condition
from kubelambda.api.model import Model
from kubelambda.api.validations import rule, rules

type Port = Annotated[int, Field(ge=1, le=65_535)]


class Peer(Model):
    """The other side of a rule: exactly one of a group, a block of addresses, or pods."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.securityGroup), has(self.cidr), has(self.podSelector) || has(self.namespaceSelector)]"
                ".filter(given, given).size() == 1",
                "a peer is exactly one of securityGroup, cidr, or podSelector with or without namespaceSelector",
            ),
            rule("!has(self.cidr) || isCIDR(self.cidr)", "cidr is no block of addresses", fieldPath=".cidr"),
        )
    )

    security_group: Annotated[str, Field(max_length=63)] | None = None
    """Members of a group of the same namespace."""
    cidr: Annotated[str, Field(max_length=43)] | None = None
    """A block of addresses, v4 or v6."""
    pod_selector: dict[str, str] | None = None
    """Labels of pods, of the same namespace unless `namespaceSelector` says otherwise."""
    namespace_selector: dict[str, str] | None = None
    """Labels of namespaces; empty: all."""

    @field_validator("cidr")
    @classmethod
    def _is_a_block(cls, value: str | None) -> str | None:
        """The schema says so too; what another release let through must not spoil the rules of other groups."""
        if value is not None:
            ip_network(value, strict=False)
        return value


class GroupRule(Model):
    """What may pass."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.fromPort) || !has(self.toPort) || self.fromPort <= self.toPort",
                "fromPort is greater than toPort",
            ),
            rule("has(self.fromPort) == has(self.toPort)", "fromPort and toPort go together"),
            rule("self.ipProtocol != '-1' || !has(self.fromPort)", "ipProtocol -1 means every port"),
        )
    )

    ip_protocol: Literal["tcp", "udp", "-1"] = "-1"
    """Protocol; -1: all of them."""
    from_port: Port | None = None
    """First port; none: every port."""
    to_port: Port | None = None
    """Last port."""


class EgressRule(GroupRule):
    """Where members may connect to."""

    to: Annotated[list[Peer], Field(min_length=1, max_length=60)]
    """Peers."""


class IngressRule(GroupRule):
    """Who may connect to members."""

    from_: Annotated[list[Peer], Field(min_length=1, max_length=60, alias="from")]
    """Peers."""


class SecurityGroupSpec(Model):
    """One group. What no rule allows does not pass, but for the cluster's resolvers."""

    egress: Annotated[list[EgressRule], Field(max_length=60)] = []
    """Where members may connect to."""
    ingress: Annotated[list[IngressRule], Field(max_length=60)] = []
    """Who may connect to members."""


class SecurityGroupStatus(Model):
    """What the operator reports."""

    conditions: Annotated[
        list[Condition],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = []
    """DeletionRefused while somebody wants it gone and functions use it; AddressesKnown where rules match nothing.

    RulesInForce where no NetworkPolicy can have them.
    """
