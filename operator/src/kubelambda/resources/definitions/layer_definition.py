"""The definitions of Layer and LayerVersion."""

from kubelambda.api.kinds.layer import LayerSpec, LayerStatus, LayerVersionSpec, LayerVersionStatus
from kubelambda.api.validations import rule
from kubelambda.resources.definitions.definition import READY, Manifest, column, definition


def layer_definition() -> Manifest:
    """Layers, and what `kubectl get` shows of them."""
    return definition(
        kind="Layer",
        plural="layers",
        short=None,
        scope="Namespaced",
        spec=LayerSpec,
        status=LayerStatus,
        columns=[
            column("Version", ".status.latestVersion", "integer"),
            column("Ready", f"{READY}.status"),
            column("Age", ".metadata.creationTimestamp", "date"),
            column("Runtimes", ".spec.compatibleRuntimes", wide=True),
            column("ARN", ".status.latestVersionArn", wide=True),
            column("Reason", f"{READY}.reason", wide=True),
            column("Message", f"{READY}.message", wide=True),
        ],
        selectable=(".spec.layerName",),
        initial_status={"observedGeneration": -1},
        rules=[
            rule("self.metadata.name.size() <= 140", "the name of a Layer has at most 140 characters"),
            rule("!self.metadata.name.contains('.')", "the name of a Layer has no dots, as in Lambda"),
        ],
    )


def layer_version_definition() -> Manifest:
    """Versions of layers, and what `kubectl get` shows of them."""
    return definition(
        kind="LayerVersion",
        plural="layerversions",
        short=None,
        scope="Namespaced",
        spec=LayerVersionSpec,
        status=LayerVersionStatus,
        columns=[
            column("Layer", ".spec.layerName"),
            column("Version", ".spec.version", "integer"),
            column("Size", ".spec.content.size", "integer"),
            column("Unzipped", ".spec.content.unzippedSize", "integer"),
            column("Age", ".metadata.creationTimestamp", "date"),
            column("ARN", ".status.layerVersionArn", wide=True),
            column("Description", ".spec.description", wide=True),
        ],
        selectable=(".spec.layerName",),
        initial_status={},
        rules=[],
    )
