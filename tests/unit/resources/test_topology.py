"""Pods are kept apart, and within the zones of their subnets."""

from kubelambda.resources.topology import spread, until_lost, within_zones


def test_pods_are_kept_apart_by_zone_and_node_where_that_can_be() -> None:
    """A cluster of one node runs them all the same."""
    found = spread({"a": "b"})["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in found] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert {each["whenUnsatisfiable"] for each in found} == {"ScheduleAnyway"}
    assert all(each["labelSelector"] == {"matchLabels": {"a": "b"}} for each in found)


def test_zones_are_a_must_and_none_is_no_word() -> None:
    """A pod outside of its subnet would not be in its network."""
    assert within_zones([]) == {}
    required = within_zones(["b", "a"])["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = required["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a", "b"]}]


def test_pods_of_a_lost_node_are_replaced_soon() -> None:
    """Kubernetes waits for five minutes where a pod does not say otherwise."""
    found = {each["key"]: each["tolerationSeconds"] for each in until_lost()["tolerations"]}
    assert found == {"node.kubernetes.io/not-ready": 30, "node.kubernetes.io/unreachable": 30}
