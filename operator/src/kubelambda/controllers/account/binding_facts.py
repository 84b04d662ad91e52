"""What others may know of a RoleBinding of ours: that it is there, and as we made it."""

import json
from dataclasses import dataclass
from sys import intern

from kubelambda.api import labels
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ROLE_BINDINGS


@dataclass(frozen=True, slots=True)
class BindingFacts:
    """All that we say of a RoleBinding: the same in every namespace."""

    content: str


def binding_facts(body: Object) -> BindingFacts:
    """The facts of one of our role bindings."""
    manager = body["metadata"]["labels"].get(labels.MANAGED_BY)
    return BindingFacts(intern(json.dumps([manager, body["roleRef"], body.get("subjects")], sort_keys=True)))


WATCHED_BINDINGS = Watch(ROLE_BINDINGS, binding_facts, label=labels.ACCOUNT_ROLE)
