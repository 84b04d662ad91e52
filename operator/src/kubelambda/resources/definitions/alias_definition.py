"""The definition of Alias."""

from kubelambda.api.kinds.alias import AliasSpec, AliasStatus
from kubelambda.resources.definitions.definition import READY, Manifest, column, definition


def alias_definition() -> Manifest:
    """Aliases, and what `kubectl get` shows of them; `kubectl scale` sets the provisioned concurrency."""
    return definition(
        kind="Alias",
        plural="aliases",
        short=None,
        scope="Namespaced",
        spec=AliasSpec,
        status=AliasStatus,
        columns=[
            column("Function", ".spec.functionName"),
            column("Alias", ".spec.name"),
            column("Version", ".status.functionVersion"),
            column("Routed", ".status.routedVersion"),
            column("Requested", ".status.provisionedConcurrency.requested", "integer"),
            column("Available", ".status.provisionedConcurrency.available", "integer"),
            column("Ready", f"{READY}.status"),
            column("Age", ".metadata.creationTimestamp", "date"),
            column("Description", ".spec.description", wide=True),
            column("Weights", ".status.routedVersionWeights", wide=True),
            column("Last scaling", ".status.lastScalingActivity.cause", wide=True),
            column("Reason", f"{READY}.reason", wide=True),
            column("Message", f"{READY}.message", wide=True),
        ],
        selectable=(".spec.functionName",),
        initial_status={"observedGeneration": -1},
        rules=[],
        scale={
            "specReplicasPath": ".spec.provisionedConcurrency.provisionedConcurrentExecutions",
            "statusReplicasPath": ".status.provisionedConcurrency.available",
            "labelSelectorPath": ".status.selector",
        },
    )
