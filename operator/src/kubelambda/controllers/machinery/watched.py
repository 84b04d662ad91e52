"""What can be watched: a resource, and the facts of its objects that anybody asks for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import Resource

type Name = tuple[str, str]
"""Namespace, empty for a cluster-scoped object, and name."""


@dataclass(frozen=True, slots=True, eq=False)
class Watch[F]:
    """A resource that somebody follows; one instance each, which is also what its facts are known by."""

    resource: Resource
    facts: Callable[[Object], F]
    """The narrow view; a change that leaves it equal concerns nobody. What it raises makes the object unreadable:
    that is skipped, counted, and told in an Event on it."""
    label: str = ""
    """A label that must be present."""
    listed_only: bool = False
    """Whether only a resync reads it: nobody waits for its changes."""

    def selects(self, metadata: Mapping[str, Any]) -> bool:
        """Whether an object with that metadata is one of those that are followed."""
        return not self.label or self.label in (metadata.get("labels") or {})


def name_of(body: Object) -> Name:
    """Namespace and name of an object."""
    metadata = body["metadata"]
    return metadata.get("namespace") or "", metadata["name"]
