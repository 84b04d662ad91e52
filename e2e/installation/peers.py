"""Pods of users: some that functions reach, some that invoke functions."""

from collections.abc import Callable
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


ASK = """
import sys, urllib.error, urllib.request

url, body = sys.argv[1:]
token = open("/var/run/secrets/kubernetes.io/serviceaccount/token").read()
headers = {"Authorization": f"Bearer {token}"}
try:
    with urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers), timeout=5) as answer:
        print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.headers.get("x-amzn-ErrorType"))
except OSError as error:
    print(0, "blocked", error)
"""


def server(account: Account, name: str, labels: dict[str, str]) -> str:
    """A pod of the user's own that listens on two ports; returns its address."""
    _pod(account, name, labels, SERVE)
    found: str = account.get("pod", name)["status"]["podIP"]
    return found


def client(account: Account, name: str, labels: dict[str, str] | None = None) -> Callable[[str, str], list[str]]:
    """A pod of the user's own that asks for a URL with its token, and gets the status and what came with it.

    Status 0 says that nothing answered.
    """
    _pod(account, name, labels or {}, "import time; time.sleep(3600)")

    def ask(url: str, body: str) -> list[str]:
        command = ("exec", name, "--", "/usr/bin/python3", "-c", ASK, url, body)
        return kubectl("--namespace", account.namespace, *command).split()

    return ask


def pod_manifest(name: str, labels: dict[str, str], program: str) -> dict[str, Any]:
    """A pod of the user's own that runs a Python program."""
    container: dict[str, Any] = {
        "name": "pod",
        "image": platform_image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/bin/python3", "-c", program],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 12345, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"securityContext": security, "containers": [container], "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def _pod(account: Account, name: str, labels: dict[str, str], program: str) -> None:
    account.apply(pod_manifest(name, labels, program))
    space = ("--namespace", account.namespace)
    kubectl(*space, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=150s", timeout=180)
