"""Where pods go among nodes and zones: apart from each other, so that losing one loses only what was there."""

from collections.abc import Iterable, Mapping

from kubelambda.resources.environment_pod import Manifest

ZONE = "topology.kubernetes.io/zone"
NODE = "kubernetes.io/hostname"
LOST_NODE_S = 30
"""How long pods are waited for whose node is lost, before others take their place; Kubernetes would wait for 300."""
_LOST = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_TEMPLATE = "pod-template-hash"
"""Label by which a Deployment tells the pods of its template from older ones."""


def placed(selector: Mapping[str, str], zones: Iterable[str]) -> Manifest:
    """The part of an environment's spec that says where it may be: apart from others of `selector`, in these zones."""
    return {**spread(selector), **within_zones(zones), **until_lost()}


def spread(selector: Mapping[str, str]) -> Manifest:
    """The part of a pod's spec that keeps pods of `selector` apart; where that cannot be, they run all the same.

    Of a Deployment's pods only those of one template count: what a rollout replaces would draw the new ones together.
    """
    constraints = [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": dict(selector)},
            "matchLabelKeys": [_TEMPLATE],
        }
        for key in (ZONE, NODE)
    ]
    return {"topologySpreadConstraints": constraints}


def until_lost() -> Manifest:
    """The part of a pod's spec that has it replaced `LOST_NODE_S` after Kubernetes finds that its node is lost."""
    taints = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": LOST_NODE_S} for key in _LOST
    ]
    return {"tolerations": taints}


def within_zones(zones: Iterable[str]) -> Manifest:
    """The part of a pod's spec that keeps it to nodes of these zones; nothing when there are none."""
    found = sorted(zones)
    if not found:
        return {}
    expression = {"key": ZONE, "operator": "In", "values": found}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}
