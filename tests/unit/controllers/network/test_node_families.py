"""Which changes of nodes matter for the rules of groups: all groups of the cluster are looked at then."""

import pytest

from kubelambda.controllers.machinery.cluster import Cluster, Seen
from kubelambda.controllers.machinery.declaration import Change
from kubelambda.controllers.network.node_facts import WATCHED_NODES, NodeFacts, changes_families


def node(*families: int) -> NodeFacts:
    """One whose pods have addresses of these families."""
    return NodeFacts(None, takes_pods=True, families=frozenset(families))


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        (None, node(4), False),
        (None, node(), False),
        (node(), node(4), False),
        (node(4), None, False),
        (None, node(4, 6), True),
        (node(4, 6), node(4), True),
        (node(4, 6), None, True),
    ],
)
def test_a_node_like_the_others_changes_nothing(
    before: NodeFacts | None, after: NodeFacts | None, *, changes: bool
) -> None:
    """An autoscaler adds and removes many; the first of a family, and the last, matter."""
    cluster = Cluster()
    cluster[WATCHED_NODES].replace(("", "old"), Seen("1", 1, node(4)))
    if after is not None:
        cluster[WATCHED_NODES].replace(("", "new"), Seen("2", 2, after))
    assert changes_families(Change("", "new", before, after, cluster)) is changes


def test_the_first_node_matters() -> None:
    """Until then nobody knew which addresses pods have."""
    cluster = Cluster()
    cluster[WATCHED_NODES].replace(("", "new"), Seen("2", 2, node(4)))
    assert changes_families(Change("", "new", None, node(4), cluster))
    assert not changes_families(Change("", "new", node(4), node(4), cluster))
