"""What others may know of a NetworkPolicy of ours: that it is there, and as we made it."""

from dataclasses import dataclass

from kubelambda.api import labels
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import NETWORK_POLICIES


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """The parts of a NetworkPolicy that say whether somebody, maybe ourselves, changed it."""

    generation: int
    of: str
    """The set that it is of, or `base`."""


def policy_facts(body: Object) -> PolicyFacts:
    """The facts of one of our policies."""
    metadata = body["metadata"]
    return PolicyFacts(metadata.get("generation", 0), metadata["labels"][labels.NETWORK_POLICY])


WATCHED_POLICIES = Watch(NETWORK_POLICIES, policy_facts, label=labels.NETWORK_POLICY)
