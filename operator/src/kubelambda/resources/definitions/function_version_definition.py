"""The definition of FunctionVersion."""

from kubelambda.api.kinds.function_version import FunctionVersionSpec, FunctionVersionStatus
from kubelambda.resources.definitions.definition import READY, Manifest, column, definition


def function_version_definition() -> Manifest:
    """Versions, and what `kubectl get` shows of them."""
    return definition(
        kind="FunctionVersion",
        plural="functionversions",
        short="fnv",
        scope="Namespaced",
        spec=FunctionVersionSpec,
        status=FunctionVersionStatus,
        columns=[
            column("Function", ".spec.functionName"),
            column("Version", ".status.version"),
            column("State", ".status.state"),
            column("Runtime", ".status.deployed.runtime"),
            column("Memory", ".status.deployed.memorySize", "integer"),
            column("Provisioned", ".status.provisionedConcurrency.available", "integer"),
            column("Ready", f"{READY}.status"),
            column("Age", ".metadata.creationTimestamp", "date"),
            column("Description", ".spec.description", wide=True),
            column("Code SHA256", ".status.codeSha256", wide=True),
            column("Reason", f"{READY}.reason", wide=True),
            column("Message", f"{READY}.message", wide=True),
        ],
        selectable=(".spec.functionName",),
        initial_status={"observedGeneration": -1, "state": "Pending"},
        rules=[],
    )
