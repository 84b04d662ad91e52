"""What others may know of InvokeEndpoints, of the policies made for them, and of the frontends behind them."""

from dataclasses import dataclass

from kubelambda.api import labels
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ENDPOINT_SLICES, INVOKE_ENDPOINTS, NETWORK_POLICIES
from kubelambda.resources.invoke_endpoint_objects import FrontendAddress


@dataclass(frozen=True, slots=True)
class InvokeEndpointFacts:
    """The parts of an InvokeEndpoint that decisions about others are made by."""

    generation: int
    created: str
    uid: str
    port: int | None
    """Its port of the frontends."""
    groups: tuple[str, ...]
    """Groups whose members reach it."""
    ready: bool

    @property
    def rank(self) -> tuple[str, str]:
        """Of those that have one port, the lowest keeps it."""
        return self.created, self.uid


@dataclass(frozen=True, slots=True)
class EndpointPolicyFacts:
    """A policy made for an endpoint."""

    generation: int
    namespace: str
    """The endpoint's."""
    name: str
    """The endpoint's."""


def invoke_endpoint_facts(body: Object) -> InvokeEndpointFacts:
    """The facts of an InvokeEndpoint."""
    metadata, status = body["metadata"], body.get("status") or {}
    return InvokeEndpointFacts(
        generation=metadata["generation"],
        created=metadata["creationTimestamp"],
        uid=metadata["uid"],
        port=status.get("frontendPort"),
        groups=tuple(sorted((body.get("spec") or {}).get("securityGroupIds") or ())),
        ready=any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or []),
    )


def endpoint_policy_facts(body: Object) -> EndpointPolicyFacts:
    """The facts of a policy."""
    metadata = body["metadata"]
    namespace, _, name = (metadata.get("annotations") or {}).get(labels.INVOKE_ENDPOINT, "").partition("/")
    return EndpointPolicyFacts(metadata.get("generation", 0), namespace, name)


def frontend_addresses(body: Object) -> tuple[FrontendAddress, ...]:
    """The frontends of an EndpointSlice."""
    found = []
    for endpoint in body.get("endpoints") or []:
        told = endpoint.get("conditions") or {}
        ready = told.get("ready") is not False
        found += [
            FrontendAddress(
                body["addressType"],
                address,
                ready,
                serving=told.get("serving", ready) is not False,
                terminating=bool(told.get("terminating")),
                zone=endpoint.get("zone"),
                node=endpoint.get("nodeName"),
            )
            for address in endpoint["addresses"]
        ]
    return tuple(sorted(found, key=lambda each: (each.family, each.address)))


WATCHED_ENDPOINTS = Watch(INVOKE_ENDPOINTS, invoke_endpoint_facts)
WATCHED_ENDPOINT_POLICIES = Watch(NETWORK_POLICIES, endpoint_policy_facts, label=labels.INVOKE_ENDPOINT)
WATCHED_FRONTENDS = Watch(ENDPOINT_SLICES, frontend_addresses, label=labels.FRONTENDS)
