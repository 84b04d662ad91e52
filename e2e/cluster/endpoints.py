"""Where the frontend answers on this machine."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from progress import ClusterError


def find_service(kubectl: Callable[..., str], namespace: str, name: str) -> dict[str, Any]:
    """A Service of the chart."""
    try:
        found: dict[str, Any] = json.loads(
            kubectl("--namespace", namespace, "get", "service", name, "--output", "json")
        )
    except ClusterError as error:
        raise ClusterError(f"the chart is not installed: {error}\nInstall it with: make install") from error
    return found


def cluster_url(service: dict[str, Any]) -> str:
    """URL of a Service's cluster IP."""
    return f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"


def published(service: dict[str, Any], node_port: int) -> dict[str, Any]:
    """A Service beside the given one that leads a port of every node to the same pods; it is no part of the chart."""
    port = {key: service["spec"]["ports"][0][key] for key in ("port", "targetPort")}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "published-for-tests",
            "namespace": service["metadata"]["namespace"],
            "labels": {"kubelambda-test": "true"},
        },
        "spec": {
            "type": "NodePort",
            "selector": service["spec"]["selector"],
            "ports": [{**port, "nodePort": node_port}],
        },
    }


def answers(url: str) -> bool:
    """Whether a frontend answers at `url`, which no proxy knows."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{url}/healthz", timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, OSError):
        return False
