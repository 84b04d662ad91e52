"""kind, for machines where a Docker engine answers."""

import os
import shutil
from pathlib import Path

import binaries
from progress import say, step
from settings import BINARIES, CLUSTER
from shell import run, succeeds

KUBECONFIG = (
    Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "kubelambda" / "kind.kubeconfig"
)


def available() -> bool:
    """Whether a Docker engine answers."""
    return succeeds("docker", "info")


def up() -> None:
    """Creates the cluster unless it is there."""
    binaries.build_kubernetes()
    binaries.install_tools(binaries.HELM_TOOLS)
    kind = _kind()
    KUBECONFIG.parent.mkdir(parents=True, exist_ok=True)
    if CLUSTER in run(kind, "get", "clusters").split():
        run(kind, "export", "kubeconfig", "--name", CLUSTER, "--kubeconfig", KUBECONFIG)
    else:
        with step("kind cluster", announce=True):
            run(kind, "create", "cluster", "--name", CLUSTER, "--kubeconfig", KUBECONFIG, "--wait", "300s")
    say(f"cluster is up: KUBECONFIG={KUBECONFIG}")


def down() -> None:
    """Deletes the cluster."""
    run(_kind(), "delete", "cluster", "--name", CLUSTER, "--kubeconfig", KUBECONFIG)
    KUBECONFIG.unlink(missing_ok=True)


def status() -> bool:
    """Prints nodes and pods; whether there is a cluster."""
    if not KUBECONFIG.exists():
        print("cluster: down")
        return False
    for arguments in (("get", "nodes", "--output", "wide"), ("get", "pods", "--all-namespaces")):
        print(run(BINARIES / "kubectl", "--kubeconfig", KUBECONFIG, *arguments), end="")
    return True


def restart_api_server() -> None:
    """Ends the API server of the node; its kubelet starts it again."""
    run("docker", "exec", f"{CLUSTER}-control-plane", "pkill", "-x", "kube-apiserver")


def load(archives: list[Path]) -> None:
    """Imports image archives into the node."""
    for archive in archives:
        run(_kind(), "load", "image-archive", "--name", CLUSTER, archive)


def _kind() -> str:
    found = shutil.which("kind")
    if found:
        return found
    binaries.install_tools((binaries.KIND_TOOL,))
    return str(BINARIES / "kind")
