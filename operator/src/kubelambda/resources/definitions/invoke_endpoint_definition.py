"""The definition of InvokeEndpoint."""

from kubelambda.api.kinds.invoke_endpoint import InvokeEndpointSpec, InvokeEndpointStatus
from kubelambda.api.validations import rule
from kubelambda.resources.definitions.definition import READY, Manifest, column, definition


def invoke_endpoint_definition() -> Manifest:
    """InvokeEndpoints, and what `kubectl get` shows of them."""
    return definition(
        kind="InvokeEndpoint",
        plural="invokeendpoints",
        short="iep",
        scope="Namespaced",
        spec=InvokeEndpointSpec,
        status=InvokeEndpointStatus,
        columns=[
            column("DNS", ".status.dnsName"),
            column("Address", ".status.address"),
            column("Ready", f"{READY}.status"),
            column("Reason", f"{READY}.reason"),
            column("Age", ".metadata.creationTimestamp", "date"),
        ],
        initial_status={"observedGeneration": -1},
        rules=[
            rule(
                "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 63",
                "the name of an InvokeEndpoint is that of its Service: up to 63 small letters, digits and dashes",
            )
        ],
    )
