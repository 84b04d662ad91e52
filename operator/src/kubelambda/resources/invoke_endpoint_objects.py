"""What an InvokeEndpoint is made of: a Service without a selector, its EndpointSlices, and a policy of the frontends.

The Service is in the endpoint's namespace and the frontends are in ours, which no selector reaches across.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kubelambda.api import labels
from kubelambda.core.network.traffic_rules import member_label
from kubelambda.resources.environment_network_policy import ours
from kubelambda.resources.environment_pod import Manifest

FAMILIES = ("IPv4", "IPv6")
_HTTP_PORT = 80


@dataclass(frozen=True, slots=True)
class EndpointIdentity:
    """One InvokeEndpoint."""

    namespace: str
    name: str
    uid: str = ""

    @property
    def id(self) -> str:
        """The same for the same namespace and name."""
        return hashlib.sha256(f"{self.namespace}/{self.name}".encode()).hexdigest()[:16]

    @property
    def labels(self) -> dict[str, str]:
        """Labels of what is made for it."""
        return {labels.MANAGED_BY: labels.MANAGER, labels.INVOKE_ENDPOINT: self.id}

    @property
    def metadata(self) -> Manifest:
        """Of what lives in its namespace, and goes with it."""
        owner = {
            "apiVersion": f"{labels.GROUP}/{labels.VERSION}",
            "kind": "InvokeEndpoint",
            "name": self.name,
            "uid": self.uid,
            "controller": True,
        }
        return {"namespace": self.namespace, "labels": self.labels, "ownerReferences": [owner]}


@dataclass(frozen=True, slots=True)
class FrontendAddress:
    """A frontend, as the EndpointSlices of the frontends' Service list it."""

    family: str
    """IPv4 or IPv6."""
    address: str
    ready: bool
    serving: bool
    terminating: bool
    zone: str | None = None
    node: str | None = None


def endpoint_policy_name(endpoint: EndpointIdentity) -> str:
    """Name of its policy."""
    return f"kubelambda-endpoint-{endpoint.id}"


def endpoint_policy(
    endpoint: EndpointIdentity, port: int, system_namespace: str, *, namespaces: Iterable[str], groups: Iterable[str]
) -> Manifest:
    """Who reaches its port of the frontends; no other policy lets anybody."""
    peers: list[Manifest] = [{"namespaceSelector": _named(name)} for name in sorted(set(namespaces))]
    peers += [
        {"namespaceSelector": _named(endpoint.namespace), "podSelector": {"matchLabels": {member_label(group): ""}}}
        for group in sorted(set(groups))
    ]
    # A rule without peers would be about everybody.
    rules = [{"from": peers, "ports": [{"port": port, "protocol": "TCP"}]}] if peers else []
    return {
        "metadata": {
            "name": endpoint_policy_name(endpoint),
            "namespace": system_namespace,
            "labels": endpoint.labels,
            "annotations": {labels.INVOKE_ENDPOINT: f"{endpoint.namespace}/{endpoint.name}"},
        },
        "spec": {
            "podSelector": ours(system_namespace, "frontend")["podSelector"],
            "policyTypes": ["Ingress"],
            "ingress": rules,
        },
    }


def endpoint_service(endpoint: EndpointIdentity, port: int) -> Manifest:
    """The Service of its name, which chooses nobody by itself."""
    served = {"name": "http", "port": _HTTP_PORT, "targetPort": port, "protocol": "TCP"}
    return {"metadata": {"name": endpoint.name, **endpoint.metadata}, "spec": {"type": "ClusterIP", "ports": [served]}}


def endpoint_slices(endpoint: EndpointIdentity, port: int, frontends: Sequence[FrontendAddress]) -> list[Manifest]:
    """The frontends behind it; one object a family, also where there is none."""
    return [
        {
            "metadata": {
                "name": f"{endpoint.name}-kubelambda-{family.lower()}",
                **endpoint.metadata,
                "labels": {
                    **endpoint.labels,
                    "kubernetes.io/service-name": endpoint.name,
                    "endpointslice.kubernetes.io/managed-by": labels.GROUP,
                },
            },
            "addressType": family,
            "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
            "endpoints": [_endpoint(each) for each in frontends if each.family == family],
        }
        for family in FAMILIES
    ]


def _endpoint(frontend: FrontendAddress) -> Manifest:
    conditions = {"ready": frontend.ready, "serving": frontend.serving, "terminating": frontend.terminating}
    places = {"zone": frontend.zone, "nodeName": frontend.node}
    return {"addresses": [frontend.address], "conditions": conditions} | {k: v for k, v in places.items() if v}


def _named(namespace: str) -> Manifest:
    return {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
