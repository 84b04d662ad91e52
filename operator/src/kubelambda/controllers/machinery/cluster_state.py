"""What the operator knows of the cluster: narrow views that events keep current and every resync replaces."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from sys import intern
from typing import Any

from kubelambda.api import labels, limits
from kubelambda.core.account.reserved_concurrency import ReservationRequest


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """The parts of a Function that say whether it needs work, and what decisions about other objects need."""

    uid: str
    version: int
    """Resource version: of two views of one object, the one with the higher number is the newer."""
    generation: int
    created: str
    runtime: str | None
    pooled: bool
    """Whether a generic pool pod can serve it."""
    requested: int | None
    granted: int | None
    sha256: str | None
    stored: str | None
    """Digest of an archive that came by the control API: nothing but the store has it."""
    settled: bool
    """Whether its status speaks of its spec and says Ready."""

    def same_as(self, other: "FunctionFacts | None") -> bool:
        """Whether nothing changed but the resource version."""
        return other is not None and _facts(self) == _facts(other)


@dataclass(frozen=True, slots=True)
class NamespaceFacts:
    """The parts of a Namespace that we read."""

    uid: str
    annotations: dict[str, str]
    terminating: bool


type FunctionName = tuple[str, str]
"""Namespace and name."""


@dataclass(slots=True)
class ClusterState:
    """Functions by namespace and name, runtimes by name, namespaces by name."""

    functions: defaultdict[str, dict[str, FunctionFacts]] = field(default_factory=lambda: defaultdict(dict))
    runtimes: dict[str, dict[str, Any]] = field(default_factory=dict)
    namespaces: dict[str, NamespaceFacts] = field(default_factory=dict)
    grants: dict[str, int | None] = field(default_factory=dict)
    """Reserved concurrency by uid of a Function: what this process decided, ahead of what statuses say yet."""

    def function(self, namespace: str, name: str) -> FunctionFacts | None:
        """The view of a Function."""
        return self.functions.get(namespace, {}).get(name)

    def replace_function(self, namespace: str, name: str, view: FunctionFacts | None) -> bool:
        """Takes a view in, or None for a Function that is gone. False when a newer one is known already."""
        known = self.function(namespace, name)
        if known is not None and (view is None or view.uid != known.uid):
            self.grants.pop(known.uid, None)
        if view is None:
            self.functions[namespace].pop(name, None)
            if not self.functions[namespace]:
                del self.functions[namespace]
        elif known is not None and known.uid == view.uid and known.version > view.version:
            return False
        else:
            self.functions[namespace][name] = view
        return True

    def names(self) -> Iterator[FunctionName]:
        """Every Function."""
        return ((namespace, name) for namespace, found in self.functions.items() for name in found)

    def functions_of_runtime(self, runtime: str) -> list[FunctionName]:
        """Every Function of a runtime."""
        return [
            (namespace, name)
            for namespace, found in self.functions.items()
            for name, view in found.items()
            if view.runtime == runtime
        ]

    def needs_pool(self, namespace: str, runtime: str) -> bool:
        """Whether a Function there can use a pool of `runtime`."""
        return any(view.runtime == runtime and view.pooled for view in self.functions.get(namespace, {}).values())

    def digests(self) -> dict[str, FunctionName]:
        """Every archive that must stay, with one of the Functions that run it or mean to."""
        return {
            sha256: (namespace, name)
            for namespace, found in self.functions.items()
            for name, view in found.items()
            for sha256 in (view.sha256, view.stored)
            if sha256
        }

    def reservations(self, namespace: str) -> list[ReservationRequest]:
        """What the Functions of an account ask for and have."""
        return [
            ReservationRequest(name, view.created, view.requested, self.grants.get(view.uid, view.granted))
            for name, view in self.functions.get(namespace, {}).items()
            if view.requested is not None or view.granted is not None
        ]


def function_facts(body: dict[str, Any]) -> FunctionFacts:
    """The view of a Function object, whatever state it is in."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    code = (status.get("deployed") or {}).get("code") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or [])
    runtime, storage = spec.get("runtime"), spec.get("ephemeralStorage") or {}
    return FunctionFacts(
        uid=metadata["uid"],
        version=int(metadata["resourceVersion"]),
        generation=metadata["generation"],
        created=metadata["creationTimestamp"],
        runtime=intern(runtime) if runtime else None,
        pooled=storage.get("size", 0) <= limits.EPHEMERAL_STORAGE_MIN_MB,
        requested=spec.get("reservedConcurrentExecutions"),
        granted=status.get("reservedConcurrentExecutions"),
        sha256=code.get("sha256"),
        stored=((spec.get("code") or {}).get("stored") or {}).get("sha256"),
        settled=ready and status.get("observedGeneration") == metadata["generation"],
    )


def namespace_facts(body: dict[str, Any]) -> NamespaceFacts:
    """The view of a Namespace object."""
    metadata = body["metadata"]
    annotations = {name: value for name, value in (metadata.get("annotations") or {}).items() if labels.GROUP in name}
    return NamespaceFacts(metadata["uid"], annotations, "deletionTimestamp" in metadata)


def _facts(view: FunctionFacts) -> tuple[Any, ...]:
    return (view.uid, view.generation, view.requested, view.granted, view.sha256, view.settled)
