"""The Helm release under test: its pods, and the addresses that lead to them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from installation import api_server
from installation.kubectl import SYSTEM_NAMESPACE, kubectl, kubectl_json, staying
from installation.turns import need_to_be_alone

RELEASE = os.environ.get("RELEASE", "kubelambda")
CHART = Path(__file__).parent.parent.parent / "charts" / "kubelambda"
VALUES = Path(__file__).parent.parent / "values.yaml"
_CLUSTER = Path(__file__).parent.parent / "cluster"


def helm(*arguments: str, program: str = "helm") -> str:
    """Runs Helm in the release's namespace, for an exclusive test; returns what it printed."""
    need_to_be_alone(f"helm {' '.join(arguments)}")
    command = [program, *arguments, "--namespace", SYSTEM_NAMESPACE]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=420, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def install(*more: str, program: str = "helm") -> None:
    """Installs or upgrades the release as `make install` does."""
    command = ["upgrade", "--install", RELEASE, str(CHART), "--wait", "--timeout", "5m", "--values", str(VALUES), *more]
    helm(*command, program=program)


def restart_of_the_cluster(component: str) -> None:
    """Restarts a component of the cluster itself, such as `apiserver`, for an exclusive test."""
    need_to_be_alone(f"a restart of {component}")
    subprocess.run([sys.executable, str(_CLUSTER), "restart", component], check=True, env=os.environ, timeout=240)


def second_node(action: str, *images: str) -> None:
    """Adds a node in another zone to the cluster, loses it, or removes it, for an exclusive test."""
    need_to_be_alone(f"a second node: {action}")
    subprocess.run([sys.executable, str(_CLUSTER), "node", action, *images], check=True, env=os.environ, timeout=420)


def platform_pods(component: str) -> list[str]:
    """Names of a component's pods that are not on their way out."""
    selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"
    found = api_server.found("pods", namespace=SYSTEM_NAMESPACE, selector=selector)["items"]
    return [pod["metadata"]["name"] for pod in staying(found)]


def rolled_out(kind: str, component: str) -> None:
    """Waits until a component is whole again."""
    name = f"{kind}/{RELEASE}-{component}"
    kubectl("--namespace", SYSTEM_NAMESPACE, "rollout", "status", name, "--timeout=240s", timeout=270)


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
    command = [
        sys.executable,
        str(_CLUSTER),
        "endpoint",
        "--namespace",
        SYSTEM_NAMESPACE,
        "--service",
        f"{RELEASE}-frontend",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.strip()


def platform_image() -> str:
    """The image that the frontends run, which has a Python interpreter."""
    deployment = kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", "deployment", f"{RELEASE}-frontend")
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])
