"""What others may know of Subnets and SecurityGroups."""

from dataclasses import dataclass

from kubelambda.api.kinds.security_group import SecurityGroupSpec
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import SECURITY_GROUPS, SUBNETS


@dataclass(frozen=True, slots=True)
class SubnetFacts:
    """The parts of a Subnet that decisions are made by."""

    internet: bool
    zone: str | None


def subnet_facts(body: Object) -> SubnetFacts:
    """The facts of a Subnet."""
    spec = body.get("spec") or {}
    return SubnetFacts(bool(spec.get("internet")), spec.get("availabilityZone"))


def group_facts(body: Object) -> SecurityGroupSpec:
    """The rules of a group. Raises `pydantic.ValidationError` for what the schema of another release let through."""
    return SecurityGroupSpec.model_validate(body.get("spec") or {})


WATCHED_SUBNETS = Watch(SUBNETS, subnet_facts)
WATCHED_GROUPS = Watch(SECURITY_GROUPS, group_facts)
