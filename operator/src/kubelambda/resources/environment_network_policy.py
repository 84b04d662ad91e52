"""The policies of every namespace with functions: who reaches agents, and what environments reach themselves."""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from kubelambda.api import environment_protocol, labels
from kubelambda.api.settings import NetworkSettings
from kubelambda.core.network import endpoint_ports
from kubelambda.core.network.traffic_rules import with_translated
from kubelambda.resources.environment_pod import Manifest

AGENTS = "kubelambda-environments"
EGRESS = "kubelambda-environments-egress"
CLOSED = "kubelambda-environments-closed"
POLICY_NAMES = (AGENTS, EGRESS, CLOSED)
ENVIRONMENTS = {labels.MANAGED_BY: labels.MANAGER, labels.COMPONENT: labels.COMPONENT_ENVIRONMENT}
BASE = {labels.MANAGED_BY: labels.MANAGER, labels.NETWORK_POLICY: labels.NETWORK_POLICY_BASE}
_DNS_PORTS = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
_HTTP = [{"port": 8080, "protocol": "TCP"}]


def environment_network_policies(
    namespace: str, system_namespace: str, settings: NetworkSettings, api_servers: Iterable[str] = ()
) -> list[Manifest]:
    """The policies of a namespace; `api_servers` are the addresses that environments are kept from."""
    networks = [*settings.refused_networks]
    if not settings.api_server:
        networks += [ip_network(ip_address(address)) for address in api_servers]
    refused = [str(network) for network in with_translated(networks)]
    closed = {"key": labels.NETWORK, "operator": "Exists"}
    others = {"key": labels.NETWORK, "operator": "DoesNotExist"}
    return [
        _policy(
            namespace,
            AGENTS,
            {"matchLabels": ENVIRONMENTS},
            ingress=[
                {
                    "from": [ours(system_namespace, "frontend")],
                    "ports": [{"port": environment_protocol.CONTROL_PORT, "protocol": "TCP"}],
                }
            ],
        ),
        _policy(
            namespace,
            EGRESS,
            {"matchLabels": ENVIRONMENTS, "matchExpressions": [others]},
            egress=[
                # Resolvers may have addresses that are refused otherwise: on the node, or the cloud's.
                {"ports": _DNS_PORTS},
                *_system_services(system_namespace),
                {"to": [_outside("0.0.0.0/0", refused), _outside("::/0", refused)]},
                # Some network plugins take a block of addresses for none of the cluster's pods.
                {"to": [_pods_of_users(system_namespace)]},
            ],
        ),
        # Functions with a vpcConfig: closed from the first moment; what their groups allow is a policy of its own.
        _policy(
            namespace,
            CLOSED,
            {"matchLabels": ENVIRONMENTS, "matchExpressions": [closed]},
            egress=[
                {"to": settings.resolvers, "ports": _DNS_PORTS},
                {"to": [ours(system_namespace, "code-store")], "ports": _HTTP},
            ],
        ),
    ]


def _policy(namespace: str, name: str, selector: Manifest, **directions: list[Manifest]) -> Manifest:
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": BASE},
        "spec": {
            "podSelector": selector,
            "policyTypes": [direction.capitalize() for direction in directions],
            **directions,
        },
    }


def ours(system_namespace: str, component: str) -> Manifest:
    """A component of ours, as a peer of a policy."""
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": system_namespace}},
        "podSelector": {
            "matchLabels": {"app.kubernetes.io/name": "kubelambda", "app.kubernetes.io/component": component}
        },
    }


def _system_services(system_namespace: str) -> list[Manifest]:
    """What environments need of us: large archives; and functions invoke functions, as on Lambda."""
    endpoints = {"port": endpoint_ports.FIRST, "endPort": endpoint_ports.LAST, "protocol": "TCP"}
    return [
        {"to": [ours(system_namespace, name) for name in ("code-store", "frontend")], "ports": _HTTP},
        # Who gets in there is for the policies of the InvokeEndpoints to say.
        {"to": [ours(system_namespace, "frontend")], "ports": [endpoints]},
    ]


def _outside(network: str, refused: Iterable[str]) -> Manifest:
    version = ip_network(network).version
    holes = sorted({hole for hole in refused if ip_network(hole).version == version})
    return {"ipBlock": {"cidr": network, **({"except": holes} if holes else {})}}


def _pods_of_users(system_namespace: str) -> Manifest:
    names = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [system_namespace]}
    parts = {"key": labels.COMPONENT, "operator": "NotIn", "values": [labels.COMPONENT_ENVIRONMENT]}
    return {"namespaceSelector": {"matchExpressions": [names]}, "podSelector": {"matchExpressions": [parts]}}
