"""Enforces NetworkPolicies on the test node. Test equipment: it knows one machine, IPv4 and the `ptp` network plugin.

Run as a program, it watches pods, namespaces and policies and keeps an nftables table on the forward hook. By then
kube-proxy has translated a Service's address, so rules match pods. What pods send to the node itself meets their egress
rules too; what the node sends to its pods is always allowed. While this program is away, the last table stays in force.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from equipment import announce_ready
from kubernetes_api import Store
from policy_rules import Pod, Policy, State, parse_pod, parse_policy, ruleset

from network import POLICY_TABLE

_SETTLE_SECONDS = 0.02
"""Changes that come together become one table."""
_RETRY_SECONDS = 1.0

LabelledNamespace = tuple[str, Mapping[str, str]]


def main() -> None:
    """Applies every change of the ruleset, for ever."""
    changed = threading.Event()
    pods: Store[Pod] = Store("/api/v1/pods", parse_pod, changed)
    namespaces: Store[LabelledNamespace] = Store("/api/v1/namespaces", _parse_namespace, changed)
    policies: Store[Policy] = Store("/apis/networking.k8s.io/v1/networkpolicies", parse_policy, changed)
    for store in (pods, namespaces, policies):
        store.start()
    applied = ""
    while True:
        changed.wait()
        time.sleep(_SETTLE_SECONDS)
        changed.clear()
        if not (pods.synced and namespaces.synced and policies.synced):
            continue
        wanted = ruleset(State(pods.items(), dict(namespaces.items()), policies.items()), POLICY_TABLE)
        if wanted != applied:
            if _apply(wanted):
                applied = wanted
                announce_ready("networkpolicy-enforcer")
            else:
                time.sleep(_RETRY_SECONDS)
                changed.set()


def _parse_namespace(item: Mapping[str, Any]) -> LabelledNamespace:
    return item["metadata"]["name"], item["metadata"].get("labels", {})


def _apply(text: str) -> bool:
    finished = subprocess.run(["nft", "-f", "-"], input=text, capture_output=True, text=True, check=False)
    if finished.returncode:
        print(f"nft refused:\n{finished.stderr}\n{text}", file=sys.stderr, flush=True)
    return finished.returncode == 0


if __name__ == "__main__":
    main()
