"""Who can reach what: agents obey frontends only, environments carry nothing that they do not need (DESIGN §10)."""

import json
from typing import Any

import pytest

from installation.account import Account
from installation.kubectl import eventually, kubectl, kubectl_json
from installation.release import RELEASE, SYSTEM_NAMESPACE, platform_image

CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()
    print("reached")
except OSError as error:
    print("blocked", error)
"""


def connect_from(account: Account, host: str, port: int) -> str:
    """What a pod of the user's own sees when it connects."""
    name = f"probe-{port}-{abs(hash((host, port))) % 10_000}"
    container: dict[str, Any] = {
        "name": "probe",
        "image": platform_image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/bin/python3", "-c", CONNECT, host, str(port)],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 12345, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"restartPolicy": "Never", "securityContext": security, "containers": [container]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    kubectl("--namespace", account.namespace, "apply", "--filename", "-", stdin=json.dumps(manifest))
    eventually(lambda: account.get("pod", name)["status"]["phase"] in ("Succeeded", "Failed"))
    printed = kubectl("--namespace", account.namespace, "logs", name)
    kubectl("--namespace", account.namespace, "delete", "pod", name, "--wait=false")
    return printed.split()[0]


@pytest.fixture(scope="module")
def warm(account: Account) -> str:
    """A function with an environment."""
    account.function("warm", "def handler(event, context):\n    return 1")
    account.invoke("warm")
    return "warm"


def test_only_frontends_reach_an_agent(account: Account, warm: str) -> None:
    """A pod of the same namespace is kept out by the network policy."""
    address = account.environment(warm)["status"]["podIP"]
    assert connect_from(account, address, 9010) == "blocked"


def test_only_our_pods_reach_the_code_store(account: Account) -> None:
    """A pod of the user's own is kept out; the frontend's port, by contrast, is open."""
    store = kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", "service", f"{RELEASE}-code-store")["spec"][
        "clusterIP"
    ]
    frontend = kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", "service", f"{RELEASE}-frontend")["spec"][
        "clusterIP"
    ]
    assert connect_from(account, store, 8080) == "blocked"
    assert connect_from(account, frontend, 80) == "reached"


def test_an_environment_holds_no_service_account_token_and_cannot_write_its_image(account: Account) -> None:
    """No token is mounted, the root file system is read-only, /tmp can be written."""
    code = """
import os, pathlib

def writable(path):
    try:
        pathlib.Path(path, "probe").write_text("x")
        return True
    except OSError:
        return False

def handler(event, context):
    return {"token": os.path.exists("/var/run/secrets/kubernetes.io"), "usr": writable("/usr"), "tmp": writable("/tmp"),
            "runtime": writable("/var/runtime")}
"""
    account.function("hardened", code)
    expected = {"token": False, "usr": False, "tmp": True, "runtime": False}
    assert account.invoke("hardened")["Payload"] == expected


def test_user_code_cannot_read_the_agents_memory_or_environment(account: Account) -> None:
    """The agent is undumpable: its /proc entries belong to root."""
    code = """
def handler(event, context):
    results = {}
    for name in ("environ", "mem", "maps"):
        try:
            open(f"/proc/1/{name}", "rb").read(1)
            results[name] = "read"
        except OSError as error:
            results[name] = type(error).__name__
    return results
"""
    account.function("curious", code)
    assert set(account.invoke("curious")["Payload"].values()) == {"PermissionError"}


def test_every_platform_pod_meets_the_restricted_standard() -> None:
    """A dry run of enforcing the standard on our namespace warns of nothing."""
    label = "pod-security.kubernetes.io/enforce=restricted"
    finished = kubectl("label", "--dry-run=server", "--overwrite", "namespace", SYSTEM_NAMESPACE, label)
    assert "violate" not in finished
