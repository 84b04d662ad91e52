"""Two hundred Functions applied at once (DESIGN §13)."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

from installation.account import Account
from installation.kubectl import eventually, kubectl, kubectl_json
from installation.release import SYSTEM_NAMESPACE, platform_pods

COUNT = 200


def operator_memory_mb() -> int:
    """Resident memory of the larger operator process."""
    script = "print([l for l in open('/proc/1/status') if l.startswith('VmRSS')][0].split()[1])"
    sizes = [
        int(kubectl("--namespace", SYSTEM_NAMESPACE, "exec", pod, "--", "python3", "-c", script))
        for pod in platform_pods("operator")
    ]
    return max(sizes) // 1024


def test_two_hundred_functions_applied_at_once_all_become_ready(account: Account) -> None:
    """All Ready, and a sample of them answers; prints the time and the operator's memory."""
    items = [
        {
            "apiVersion": "kubelambda.dev/v1alpha1",
            "kind": "Function",
            "metadata": {"name": f"many-{index}", "labels": {"test": "many"}},
            "spec": {
                "runtime": "python3.13",
                "handler": "index.handler",
                "timeout": 30,
                "code": {"inline": f"def handler(event, context):\n    return {index}"},
            },
        }
        for index in range(COUNT)
    ]
    started = time.monotonic()
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    kubectl("--namespace", account.namespace, "apply", "--filename", "-", stdin=manifest, timeout=180)
    applied = time.monotonic() - started

    def all_ready() -> bool:
        found = kubectl_json("--namespace", account.namespace, "get", "functions", "--selector", "test=many")["items"]
        ready = [
            item
            for item in found
            for condition in item.get("status", {}).get("conditions", [])
            if condition["type"] == "Ready" and condition["status"] == "True"
        ]
        return len(ready) == COUNT

    eventually(all_ready, timeout=300, interval=1)
    total = time.monotonic() - started
    print(f"\n{COUNT} Functions: applied in {applied:.1f} s, all Ready after {total:.1f} s, ", end="")
    print(f"operator {operator_memory_mb()} MB resident")
    with ThreadPoolExecutor(2) as callers:
        payloads = list(callers.map(lambda index: account.invoke(f"many-{index}")["Payload"], (0, 57, 199)))
    assert payloads == [0, 57, 199]
