"""The definition of Function."""

from kubelambda.api import limits
from kubelambda.api.kinds.function import FunctionSpec, FunctionStatus
from kubelambda.api.validations import rule
from kubelambda.resources.definitions.definition import READY, Manifest, column, definition


def function_definition() -> Manifest:
    """Functions, and what `kubectl get` shows of them."""
    most = limits.FUNCTION_NAME_MAX_CHARS
    return definition(
        kind="Function",
        plural="functions",
        short="fn",
        scope="Namespaced",
        spec=FunctionSpec,
        status=FunctionStatus,
        columns=[
            column("Runtime", ".spec.runtime"),
            column("Image", ".spec.code.imageUri"),
            column("State", ".status.state"),
            column("Memory", ".spec.memorySize", "integer"),
            column("Timeout", ".spec.timeout", "integer"),
            column("Reserved", ".status.reservedConcurrentExecutions", "integer"),
            column("Ready", f"{READY}.status"),
            column("Age", ".metadata.creationTimestamp", "date"),
            column("Handler", ".spec.handler", wide=True),
            column("Code size", ".status.codeSize", "integer", wide=True),
            column("Last update", ".status.lastUpdateStatus", wide=True),
            column("Reason", f"{READY}.reason", wide=True),
            column("Message", f"{READY}.message", wide=True),
        ],
        selectable=(".spec.functionName",),
        initial_status={"observedGeneration": -1, "state": "Pending"},
        rules=[
            rule(f"self.metadata.name.size() <= {most}", f"the name of a Function has at most {most} characters"),
            rule("!self.metadata.name.contains('.')", "the name of a Function has no dots, as in Lambda"),
        ],
    )
