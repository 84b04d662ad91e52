"""The `Subnet` custom resource: where environments of functions with a vpcConfig live, and what is there."""

from typing import Annotated

from pydantic import Field

from kubelambda.api.conditions import Condition
from kubelambda.api.model import Model


class SubnetSpec(Model):
    """One subnet."""

    availability_zone: Annotated[str, Field(max_length=63)] | None = None
    """Zone of its nodes (topology.kubernetes.io/zone), where its environments run. Absent: anywhere."""
    internet: bool = False
    """What a NAT gateway gives: the public internet, as far as the security groups allow it, but no private ranges."""


class SubnetStatus(Model):
    """What the operator reports."""

    conditions: Annotated[
        list[Condition],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = []
    """DeletionRefused while somebody wants it gone and functions use it."""
