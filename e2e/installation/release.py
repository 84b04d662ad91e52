"""The Helm release under test: its pods, and the addresses that lead to them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from installation.kubectl import kubectl, kubectl_json, staying

SYSTEM_NAMESPACE = os.environ.get("SYSTEM_NAMESPACE", "kubelambda-system")
RELEASE = os.environ.get("RELEASE", "kubelambda")


def platform_pods(component: str) -> list[str]:
    """Names of a component's pods that are not on their way out."""
    selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"
    found = kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", "pods", "--selector", selector)["items"]
    return [pod["metadata"]["name"] for pod in staying(found)]


def rolled_out(kind: str, component: str) -> None:
    """Waits until a component is whole again."""
    name = f"{kind}/{RELEASE}-{component}"
    kubectl("--namespace", SYSTEM_NAMESPACE, "rollout", "status", name, "--timeout=120s", timeout=150)


@contextmanager
def forwarded(pod: str, port: int, namespace: str = SYSTEM_NAMESPACE) -> Iterator[str]:
    """URL on this machine that leads to one pod, of the release or not: its address may be for the cluster only."""
    command = ["kubectl", "--namespace", namespace, "port-forward", f"pod/{pod}", f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forwarding:
        try:
            assert forwarding.stdout is not None
            said = forwarding.stdout.readline()
            assert said.startswith("Forwarding from "), said
            yield f"http://{said.split()[2]}"
        finally:
            forwarding.terminate()


def find_endpoint() -> str:
    """URL of the frontend as reachable from this machine, of the release as it is installed now."""
    program = str(Path(__file__).parent.parent / "cluster")
    command = ["python3", program, "endpoint", "--namespace", SYSTEM_NAMESPACE, "--service", f"{RELEASE}-frontend"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.strip()


def platform_image() -> str:
    """The image that the frontends run, which has a Python interpreter."""
    deployment = kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", "deployment", f"{RELEASE}-frontend")
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])
