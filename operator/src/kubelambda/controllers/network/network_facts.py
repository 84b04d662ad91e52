"""What others may know of Subnets and SecurityGroups."""

from dataclasses import dataclass

from kubelambda.api.kinds.security_group import SecurityGroupSpec
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.core.network.network_use import unusable_labels
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import SECURITY_GROUPS, SUBNETS


@dataclass(frozen=True, slots=True)
class SubnetFacts:
    """The parts of a Subnet that decisions are made by."""

    internet: bool
    zone: str | None
    terminating: bool = False
    """Whether somebody has deleted it; what uses it goes on with it."""


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """The parts of a SecurityGroup that decisions are made by."""

    spec: SecurityGroupSpec
    """Its rules."""
    terminating: bool = False
    """Whether somebody has deleted it; what uses it goes on with it."""
    unusable: tuple[str, ...] = ()
    """Labels of its rules that no policy can have."""


def subnet_facts(body: Object) -> SubnetFacts:
    """The facts of a Subnet."""
    spec = body.get("spec") or {}
    terminating = "deletionTimestamp" in body["metadata"]
    return SubnetFacts(bool(spec.get("internet")), spec.get("availabilityZone"), terminating)


def group_facts(body: Object) -> GroupFacts:
    """The facts of a group. Raises `pydantic.ValidationError` for what the schema of another release let through."""
    spec = SecurityGroupSpec.model_validate(body.get("spec") or {})
    return GroupFacts(spec, "deletionTimestamp" in body["metadata"], tuple(unusable_labels(spec)))


WATCHED_SUBNETS = Watch(SUBNETS, subnet_facts)
WATCHED_GROUPS = Watch(SECURITY_GROUPS, group_facts)
