"""What others may know of a NetworkPolicy of ours: that it is there, and as we made it."""

from dataclasses import dataclass
from sys import intern

from kubelambda.api import labels
from kubelambda.controllers.machinery import desired
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import NETWORK_POLICIES


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """All that we say of a NetworkPolicy."""

    content: str
    """A digest of it."""
    of: str
    """The set that it is of, or `base`."""


def policy_facts(body: Object) -> PolicyFacts:
    """The facts of one of our policies."""
    found = body["metadata"]["labels"]
    # The API server keeps no list of rules that is empty.
    spec = {name: value for name, value in (body.get("spec") or {}).items() if value != []}
    content = desired.content([found.get(labels.MANAGED_BY), spec])
    return PolicyFacts(content, intern(found[labels.NETWORK_POLICY]))


WATCHED_POLICIES = Watch(NETWORK_POLICIES, policy_facts, label=labels.NETWORK_POLICY)
