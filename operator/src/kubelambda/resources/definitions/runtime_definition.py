"""The definition of Runtime."""

from kubelambda.api.kinds.runtime import RuntimeSpec, RuntimeStatus
from kubelambda.api.validations import rule
from kubelambda.resources.definitions.definition import READY, Manifest, column, definition


def runtime_definition() -> Manifest:
    """Runtimes, and what `kubectl get` shows of them."""
    return definition(
        kind="Runtime",
        plural="runtimes",
        short="rt",
        scope="Cluster",
        spec=RuntimeSpec,
        status=RuntimeStatus,
        columns=[
            column("Image", ".spec.image"),
            column("Prestart", ".spec.prestart"),
            column("Pool", ".spec.pool.size", "integer"),
            column("Functions", ".status.functions", "integer"),
            column("Idle", ".status.idle", "integer"),
            column("Ready", f"{READY}.status"),
            column("Age", ".metadata.creationTimestamp", "date"),
            column("Pools", ".status.pools", "integer", wide=True),
            column("Reason", f"{READY}.reason", wide=True),
            column("Message", f"{READY}.message", wide=True),
        ],
        initial_status={"observedGeneration": -1},
        rules=[rule("self.metadata.name.size() <= 45", "the name of a Runtime has at most 45 characters")],
    )
