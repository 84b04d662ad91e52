"""The definition of AccessPoint."""

from kubelambda.api.kinds.access_point import AccessPointSpec, AccessPointStatus
from kubelambda.resources.definitions.definition import READY, Manifest, column, definition


def access_point_definition() -> Manifest:
    """Access points, and what `kubectl get` shows of them."""
    return definition(
        kind="AccessPoint",
        plural="accesspoints",
        short=None,
        scope="Namespaced",
        spec=AccessPointSpec,
        status=AccessPointStatus,
        columns=[
            column("Claim", ".spec.persistentVolumeClaim"),
            column("Root", ".spec.rootDirectory"),
            column("Ready", f"{READY}.status"),
            column("Age", ".metadata.creationTimestamp", "date"),
            column("Reason", f"{READY}.reason", wide=True),
            column("Message", f"{READY}.message", wide=True),
        ],
        initial_status={"observedGeneration": -1},
        rules=[],
    )
