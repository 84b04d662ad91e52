"""A server that tests bring along, in a pod of a namespace, with a Service of its name before it."""

from collections.abc import Mapping
from typing import Any

from installation.release import platform_image


def server_manifests(
    name: str, ports: set[int], *, entrance: int, environment: Mapping[str, str] | None = None, image: str = ""
) -> list[dict[str, Any]]:
    """Pod and Service of the test image `name`, or of `image`; ready once its port `entrance` takes connections."""
    labels = {"app": name}
    container = {
        "name": name,
        "image": platform_image().replace("/platform:", f"/{image or name}:"),
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


def add_door(pod: dict[str, Any], port: int, port_behind: int) -> None:
    """Puts a door (`e2e/images/elasticmq/door.py`) at `port` before the server in a pod, to be killed in its place.

    It is the first container, and so the one that commands run in. Its processes alone are seen there.
    """
    server = pod["spec"]["containers"][0]
    command = ["/bin/sh", "/restarting.sh", "/usr/bin/python3", "/door.py", str(port), "127.0.0.1", str(port_behind)]
    pod["spec"]["containers"].insert(0, {**server, "name": "door", "command": command})
    server["readinessProbe"] = {"tcpSocket": {"port": port_behind}, "periodSeconds": 1}
