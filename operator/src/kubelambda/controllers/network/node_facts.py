"""What others may know of the cluster's nodes: in which zone one is, and whether it takes pods."""

from dataclasses import dataclass

from kubelambda.controllers.machinery.cluster import Cluster
from kubelambda.controllers.machinery.declaration import Change
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.core.network.network_use import families_of
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import NODES
from kubelambda.resources.topology import ZONE


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """The parts of a Node that decisions are made by. Its heartbeats change none of them."""

    zone: str | None
    takes_pods: bool
    """Whether it has addresses for pods and is not cordoned off; one that is away for a moment keeps its own."""
    families: frozenset[int] = frozenset()
    """4 and 6, of the addresses that its pods get; empty where it does not say, as with network plugins that do it."""


def node_facts(body: Object) -> NodeFacts:
    """The facts of a Node."""
    zone = (body["metadata"].get("labels") or {}).get(ZONE)
    allocatable = (body.get("status") or {}).get("allocatable") or {}
    cordoned = bool((body.get("spec") or {}).get("unschedulable"))
    families = families_of((body.get("spec") or {}).get("podCIDRs") or [])
    return NodeFacts(zone, not cordoned and str(allocatable.get("pods", "0")) != "0", families)


WATCHED_NODES = Watch(NODES, node_facts)


def families_of_pods(cluster: Cluster) -> frozenset[int]:
    """Families of pods' addresses, as far as nodes tell; empty when none does."""
    return frozenset().union(*(facts.families for _, facts in cluster[WATCHED_NODES]))


def changes_families(change: Change[NodeFacts]) -> bool:
    """Whether pods have addresses of other families since a node changed: with few of those that come and go."""
    nodes = change.cluster[WATCHED_NODES]
    others: frozenset[int] = frozenset().union(*(facts.families for (_, name), facts in nodes if name != change.name))
    before, after = (others | (facts.families if facts else frozenset()) for facts in (change.before, change.after))
    return before != after


def zones_with_addresses(cluster: Cluster) -> set[str]:
    """Zones that have a node that takes pods."""
    return {facts.zone for _, facts in cluster[WATCHED_NODES] if facts.zone is not None and facts.takes_pods}
