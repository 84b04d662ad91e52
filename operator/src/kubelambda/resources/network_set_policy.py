"""The policy that opens a closed environment for what its security groups allow; one for all functions of a set."""

from kubelambda.api import labels
from kubelambda.core.network.traffic_rules import PolicyRule
from kubelambda.resources.environment_pod import Manifest

_PREFIX = "kubelambda-network-"


def network_policy_name(set_id: str) -> str:
    """Name of the policy of a set."""
    return f"{_PREFIX}{set_id}"


def network_set_policy(namespace: str, set_id: str, *, egress: list[PolicyRule], ingress: list[PolicyRule]) -> Manifest:
    """What it allows is in addition to what every closed environment may; it never says no."""
    return {
        "metadata": {
            "name": network_policy_name(set_id),
            "namespace": namespace,
            "labels": {labels.MANAGED_BY: labels.MANAGER, labels.NETWORK_POLICY: set_id},
        },
        "spec": {
            "podSelector": {"matchLabels": {labels.MANAGED_BY: labels.MANAGER, labels.NETWORK_SET: set_id}},
            "policyTypes": ["Egress", "Ingress"],
            "egress": egress,
            "ingress": ingress,
        },
    }
