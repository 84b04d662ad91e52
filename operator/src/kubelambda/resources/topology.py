"""Where pods go among nodes and zones: apart from each other, so that losing one loses only what was there."""

from collections.abc import Iterable, Mapping

from kubelambda.resources.environment_pod import Manifest

ZONE = "topology.kubernetes.io/zone"
NODE = "kubernetes.io/hostname"


def spread(selector: Mapping[str, str]) -> Manifest:
    """The part of a pod's spec that keeps pods of `selector` apart; where that cannot be, they run all the same."""
    constraints = [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": dict(selector)},
        }
        for key in (ZONE, NODE)
    ]
    return {"topologySpreadConstraints": constraints}


def within_zones(zones: Iterable[str]) -> Manifest:
    """The part of a pod's spec that keeps it to nodes of these zones; nothing when there are none."""
    found = sorted(zones)
    if not found:
        return {}
    expression = {"key": ZONE, "operator": "In", "values": found}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}
