"""A server that tests bring along, in a pod of a namespace, with a Service of its name before it."""

from collections.abc import Mapping
from typing import Any

from installation.release import platform_image


def server_manifests(
    name: str, ports: set[int], *, entrance: int, environment: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Pod and Service of the test image `name`; it is ready once its port `entrance` takes connections."""
    labels = {"app": name}
    container = {
        "name": name,
        "image": platform_image().replace("/platform:", f"/{name}:"),
        "imagePullPolicy": "Never",
        "env": [{"name": variable, "value": value} for variable, value in (environment or {}).items()],
        "readinessProbe": {"tcpSocket": {"port": entrance}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 993, "seccompProfile": {"type": "RuntimeDefault"}}
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 1,
                "securityContext": security,
                "containers": [container],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {
                "selector": labels,
                "ports": [{"name": f"p{each}", "port": each, "targetPort": each} for each in sorted(ports)],
            },
        },
    ]
