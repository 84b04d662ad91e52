"""What others may know of a RoleBinding of ours: that it is there, and as we made it."""

from dataclasses import dataclass

from kubelambda.api import labels
from kubelambda.controllers.machinery import desired
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ROLE_BINDINGS


@dataclass(frozen=True, slots=True)
class BindingFacts:
    """All that we say of a RoleBinding: the same in every namespace."""

    content: str
    """A digest of it."""


def binding_facts(body: Object) -> BindingFacts:
    """The facts of one of our role bindings."""
    manager = body["metadata"]["labels"].get(labels.MANAGED_BY)
    return BindingFacts(desired.content([manager, body["roleRef"], body.get("subjects")]))


WATCHED_BINDINGS = Watch(ROLE_BINDINGS, binding_facts, label=labels.ACCOUNT_ROLE)
