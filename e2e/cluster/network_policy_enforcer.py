"""Enforces NetworkPolicies on the test node. Test equipment: it knows one machine and the `ptp` network plugin.

Run as a program, it watches pods, namespaces and policies and keeps an nftables table on the forward hook. By then
kube-proxy has translated a Service's address, so rules match pods. What pods send to the node itself meets their egress
rules too; what the node sends to its pods is always allowed. While this program is away, the last table stays in force.
"""

import sys
import threading
import time
from collections.abc import Mapping

from equipment import announce_ready
from kubernetes_api import Store
from packet_filter import PacketFilter
from policy_rules import Pod, Policy, State, parse_namespace, parse_pod, parse_policy, ruleset

from network import POLICY_TABLE

_RETRY_SECONDS = 1.0

LabelledNamespace = tuple[str, Mapping[str, str]]


def main() -> None:
    """Applies every change of the ruleset, for ever: at once, and what comes meanwhile together."""
    tables = PacketFilter()
    changed = threading.Event()
    pods: Store[Pod] = Store("/api/v1/pods", parse_pod, changed)
    namespaces: Store[LabelledNamespace] = Store("/api/v1/namespaces", parse_namespace, changed)
    policies: Store[Policy] = Store("/apis/networking.k8s.io/v1/networkpolicies", parse_policy, changed)
    for store in (pods, namespaces, policies):
        store.start()
    applied = ""
    while True:
        changed.wait()
        changed.clear()
        if not (pods.synced and namespaces.synced and policies.synced):
            continue
        wanted = ruleset(State(pods.items(), dict(namespaces.items()), policies.items()), POLICY_TABLE)
        if wanted != applied:
            refused = tables.apply(wanted)
            if refused:
                print(f"nft refused:\n{refused}\n{wanted}", file=sys.stderr, flush=True)
                time.sleep(_RETRY_SECONDS)
                changed.set()
            else:
                applied = wanted
                announce_ready("networkpolicy-enforcer")


if __name__ == "__main__":
    main()
