"""Sets of subnets and security groups: functions with the same one share its policies (§10.1.1)."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kubelambda.api.kinds.vpc_config import VpcConfig


@dataclass(frozen=True, slots=True)
class NetworkSet:
    """Names of subnets and groups of one namespace, sorted, each once."""

    subnets: tuple[str, ...]
    groups: tuple[str, ...]

    @property
    def id(self) -> str:
        """The same for the same names."""
        return hashlib.sha256(json.dumps([self.subnets, self.groups]).encode()).hexdigest()[:12]


def network_set(subnets: Iterable[str], groups: Iterable[str]) -> NetworkSet | None:
    """The set of a vpcConfig; None of one that is empty."""
    found = NetworkSet(tuple(sorted(set(subnets))), tuple(sorted(set(groups))))
    return found if found.subnets and found.groups else None


def configured_set(config: VpcConfig | None) -> NetworkSet | None:
    """The set of a function's vpcConfig; None of a function without."""
    return None if config is None else network_set(config.subnet_ids, config.security_group_ids)


def deployed_set(network: Mapping[str, Any] | None) -> NetworkSet | None:
    """The set of a deployed configuration, of which `network` is the part as it is written."""
    found = network or {}
    return network_set(found.get("subnets", ()), found.get("securityGroups", ()))


def missing_subnets(wanted: NetworkSet, known: Collection[str]) -> str | None:
    """Lambda's text when a subnet does not exist (Appendix A)."""
    missing = next((name for name in wanted.subnets if name not in known), None)
    if missing is None:
        return None
    return (
        "Error occurred while DescribeSubnets. EC2 Error Code: InvalidSubnetID.NotFound. "
        f"EC2 Error Message: The subnet ID '{missing}' does not exist"
    )


def missing_addresses(zones: Collection[str | None], known: Collection[str]) -> str | None:
    """Lambda's text when no subnet has an address left: none of their `zones` is `known` to have nodes for pods.

    Zone None is everywhere: there are always some.
    """
    if any(zone is None or zone in known for zone in zones):
        return None
    return (
        "Lambda was not able to set up VPC access for the function because one or more configured subnets has no "
        f"available IP addresses: no node in {', '.join(sorted(zone for zone in zones if zone))} takes pods"
    )


def missing_groups(wanted: NetworkSet, known: Collection[str]) -> str | None:
    """Lambda's text when a security group does not exist (Appendix A)."""
    missing = next((name for name in wanted.groups if name not in known), None)
    if missing is None:
        return None
    return (
        "Error occurred while DescribeSecurityGroups. EC2 Error Code: InvalidGroup.NotFound. "
        f"EC2 Error Message: The security group '{missing}' does not exist"
    )
