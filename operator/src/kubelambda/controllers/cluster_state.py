"""What the operator knows of the cluster: narrow views that events keep current and every resync replaces (KOPF §7)."""

from dataclasses import dataclass, field
from typing import Any

from kubelambda.api import labels


@dataclass(frozen=True, slots=True)
class FunctionView:
    """The parts of a Function that decisions about other objects need."""

    uid: str
    runtime: str | None
    requested: int | None
    granted: int | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class NamespaceView:
    """The parts of a Namespace that we read."""

    uid: str
    annotations: dict[str, str]
    terminating: bool


@dataclass(slots=True)
class ClusterState:
    """Functions by namespace and name, runtimes by name, namespaces by name."""

    functions: dict[tuple[str, str], FunctionView] = field(default_factory=dict)
    runtimes: dict[str, dict[str, Any]] = field(default_factory=dict)
    namespaces: dict[str, NamespaceView] = field(default_factory=dict)

    def reserved_by_others(self, namespace: str, name: str) -> int:
        """Sum of what the account's other functions were granted."""
        return sum(
            view.granted or 0
            for (other_namespace, other), view in self.functions.items()
            if other_namespace == namespace and other != name
        )

    def functions_of_runtime(self, runtime: str) -> list[tuple[str, str]]:
        """Namespace and name of every function of a runtime."""
        return [key for key, view in self.functions.items() if view.runtime == runtime]

    def uses(self, namespace: str, runtime: str | None = None) -> bool:
        """Whether a namespace has a function, of `runtime` if that is given."""
        return any(
            found == namespace and runtime in (None, view.runtime) for (found, _), view in self.functions.items()
        )

    def digests(self) -> set[str]:
        """Archives that some function runs."""
        return {view.sha256 for view in self.functions.values() if view.sha256}


def function_view(body: dict[str, Any]) -> FunctionView:
    """The view of a Function object, whatever state it is in."""
    spec, status = body.get("spec") or {}, body.get("status") or {}
    deployed = status.get("deployed") or {}
    return FunctionView(
        uid=body["metadata"]["uid"],
        runtime=spec.get("runtime"),
        requested=spec.get("reservedConcurrentExecutions"),
        granted=status.get("reservedConcurrentExecutions"),
        sha256=(deployed.get("code") or {}).get("sha256"),
    )


def namespace_view(body: dict[str, Any]) -> NamespaceView:
    """The view of a Namespace object."""
    metadata = body["metadata"]
    annotations = {name: value for name, value in (metadata.get("annotations") or {}).items() if labels.GROUP in name}
    return NamespaceView(metadata["uid"], annotations, "deletionTimestamp" in metadata)
