"""What others may know of a namespace: that it is an account, and the annotations by which people set it up."""

from dataclasses import dataclass

from kubelambda.api import labels
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import NAMESPACES


@dataclass(frozen=True, slots=True)
class NamespaceFacts:
    """The parts of a Namespace that we read."""

    uid: str
    created: str
    annotations: dict[str, str]
    """Those of our group."""
    terminating: bool


def namespace_facts(body: Object) -> NamespaceFacts:
    """The facts of a Namespace object."""
    metadata = body["metadata"]
    annotations = {name: value for name, value in (metadata.get("annotations") or {}).items() if labels.GROUP in name}
    return NamespaceFacts(
        metadata["uid"], metadata.get("creationTimestamp", ""), annotations, "deletionTimestamp" in metadata
    )


WATCHED_NAMESPACES = Watch(NAMESPACES, namespace_facts)
