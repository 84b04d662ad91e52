"""The policy that keeps everybody but frontends away from the agents of a namespace."""

from kubelambda.api import environment_protocol, labels
from kubelambda.resources.environment_pod import Manifest

POLICY_NAME = "kubelambda-environments"


def environment_network_policy(namespace: str, system_namespace: str) -> Manifest:
    """Lets only frontends reach the agents of a namespace. What environments may reach themselves stays open."""
    frontends = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": system_namespace}},
        "podSelector": {
            "matchLabels": {"app.kubernetes.io/name": "kubelambda", "app.kubernetes.io/component": "frontend"}
        },
    }
    environments = {labels.MANAGED_BY: labels.MANAGER, labels.COMPONENT: labels.COMPONENT_ENVIRONMENT}
    return {
        "metadata": {"name": POLICY_NAME, "namespace": namespace, "labels": {labels.MANAGED_BY: labels.MANAGER}},
        "spec": {
            "podSelector": {"matchLabels": environments},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [frontends], "ports": [{"port": environment_protocol.CONTROL_PORT, "protocol": "TCP"}]}
            ],
        },
    }
