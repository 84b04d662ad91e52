"""What user code reaches from inside an environment, tried with real packets: nothing of the cluster's own (§10.1)."""

from typing import Any

from installation.account import Account
from installation.kubectl import kubectl_json
from installation.reach import REACH
from installation.release import RELEASE, SYSTEM_NAMESPACE

SOURCE = (
    REACH
    + """
def handler(event, context):
    return {name: reach(*address) for name, address in event.items()}
"""
)


def cluster_ip(namespace: str, service: str) -> str:
    """Address of a Service."""
    found: str = kubectl_json("--namespace", namespace, "get", "service", service)["spec"]["clusterIP"]
    return found


def pod_address(component: str) -> str:
    """Address of one of our own pods."""
    selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"
    pods = kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", "pods", "--selector", selector)["items"]
    found: str = next(pod["status"]["podIP"] for pod in pods if pod["status"].get("podIP"))
    return found


def test_user_code_reaches_nothing_of_the_clusters_own(account: Account) -> None:
    """Other agents, metrics, the API server by each of its addresses, the clouds' metadata: no connection is made.

    The frontends are reached, as functions invoke functions; the code store too, where an address needs a signature.
    """
    account.function("victim", "def handler(event, context):\n    return 1")
    account.invoke("victim")
    account.function("attacker", SOURCE, timeout=60)
    slices = kubectl_json("--namespace", "default", "get", "endpointslices", "kubernetes")
    targets: dict[str, Any] = {
        "agent": (account.environments("victim")[0]["status"]["podIP"], 9010),
        "frontend metrics": (pod_address("frontend"), 9090),
        "operator": (pod_address("operator"), 8081),
        "control API": (pod_address("awsapi"), 8080),
        "API server's service": (cluster_ip("default", "kubernetes"), 443),
        "API server": (slices["endpoints"][0]["addresses"][0], slices["ports"][0]["port"]),
        "metadata": ("169.254.169.254", 80),
        "frontend": (cluster_ip(SYSTEM_NAMESPACE, f"{RELEASE}-frontend"), 80),
        "code store": (cluster_ip(SYSTEM_NAMESPACE, f"{RELEASE}-code-store"), 8080),
    }
    expected = {name: "reached" if name in {"frontend", "code store"} else "blocked" for name in targets}
    assert account.invoke("attacker", targets)["Payload"] == expected
