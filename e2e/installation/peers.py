"""Pods of users, for functions to reach."""

import json
from typing import Any

from installation.account import Account
from installation.kubectl import kubectl
from installation.release import platform_image

SERVE = """
import socket, threading

def serve(port):
    listener = socket.create_server(("", port))
    while True:
        listener.accept()[0].close()

for port in (5432, 5433):
    threading.Thread(target=serve, args=(port,)).start()
"""


def server(account: Account, name: str, labels: dict[str, str]) -> str:
    """A pod of the user's own that listens on two ports; returns its address."""
    container: dict[str, Any] = {
        "name": "server",
        "image": platform_image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/bin/python3", "-c", SERVE],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 12345, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"securityContext": security, "containers": [container], "terminationGracePeriodSeconds": 1}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}
    kubectl("--namespace", account.namespace, "apply", "--filename", "-", stdin=json.dumps(manifest))
    kubectl("--namespace", account.namespace, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    found: str = account.get("pod", name)["status"]["podIP"]
    return found
