"""The network of a Function: what its spec asks for, and what is deployed (§10.1)."""

from typing import Annotated

from pydantic import ConfigDict, Field

from kubelambda.api.model import Model
from kubelambda.api.validations import rule, rules


class VpcConfig(Model):
    """Subnets and security groups that the environments join; both lists empty: none (§10.1)."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "(has(self.subnetIds) && self.subnetIds.size() > 0) == "
                "(has(self.securityGroupIds) && self.securityGroupIds.size() > 0)",
                "subnetIds and securityGroupIds are given together, or neither",
            )
        )
    )

    subnet_ids: Annotated[list[str], Field(max_length=16)] = []
    """Names of Subnets."""
    security_group_ids: Annotated[list[str], Field(max_length=5)] = []
    """Names of SecurityGroups."""


class DeployedNetwork(Model):
    """The closed network of a function with a vpcConfig."""

    model_config = ConfigDict(extra="ignore")

    set: str
    """Which set of subnets and security groups: functions with the same one share its policy."""
    subnets: list[str]
    """Its subnets."""
    zones: list[str] = []
    """Zones of its subnets, where its environments run; none: anywhere."""
    security_groups: list[str]
    """Groups that its environments are members of."""
