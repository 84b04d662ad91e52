"""The definition of EventSourceMapping."""

from kubelambda.api.kinds.event_source_mapping import EventSourceMappingSpec, EventSourceMappingStatus
from kubelambda.resources.definitions.definition import READY, Manifest, column, definition


def event_source_mapping_definition() -> Manifest:
    """Mappings, and what `kubectl get` shows of them."""
    return definition(
        kind="EventSourceMapping",
        plural="eventsourcemappings",
        short="esm",
        scope="Namespaced",
        spec=EventSourceMappingSpec,
        status=EventSourceMappingStatus,
        columns=[
            column("Function", ".spec.functionName"),
            column("State", ".status.state"),
            column("Ready", f"{READY}.status"),
            column("Polling", '.status.conditions[?(@.type=="Polling")].status'),
            column("Lag", ".status.lag", "integer"),
            column("Age", ".metadata.creationTimestamp", "date"),
            column("Source", ".spec.eventSourceArn", wide=True),
            column("UUID", ".status.uuid", wide=True),
            column("Message", f"{READY}.message", wide=True),
        ],
        selectable=(".spec.functionName", ".status.uuid"),
        initial_status={"observedGeneration": -1},
        rules=[],
    )
