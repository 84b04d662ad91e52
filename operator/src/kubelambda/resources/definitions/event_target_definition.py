"""The definition of EventTarget."""

from kubelambda.api.kinds.event_target import EventTargetSpec, EventTargetStatus
from kubelambda.api.validations import rule
from kubelambda.resources.definitions.definition import Manifest, column, definition


def event_target_definition() -> Manifest:
    """EventTargets, and what `kubectl get` shows of them."""
    return definition(
        kind="EventTarget",
        plural="eventtargets",
        short=None,
        scope="Namespaced",
        spec=EventTargetSpec,
        status=EventTargetStatus,
        columns=[
            column("ARN", ".spec.aws.arn"),
            column("Services", ".spec.aws.services"),
            column("Endpoint", ".spec.aws.endpointUrl"),
            column("URL", ".spec.http.url"),
            column("Age", ".metadata.creationTimestamp", "date"),
        ],
        initial_status={},
        rules=[rule("self.metadata.name.size() <= 63", "destinations name an EventTarget: 63 characters at most")],
    )
