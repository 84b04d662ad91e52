"""kind, for machines where a Docker engine answers."""

import json
import os
import shutil
from pathlib import Path

import archives
import binaries
import endpoints
from processes import until
from progress import ClusterError, say, step
from settings import BINARIES, CLUSTER, KIND
from shell import run, succeeds

KUBECONFIG = (
    Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "kubelambda" / "kind.kubeconfig"
)
NODE = f"{CLUSTER}-control-plane"
"""The container that is the cluster's only node."""
NODE_IMAGE = os.environ.get("KIND_NODE_IMAGE")
"""Another node image than kind's own: a mirror's, or another version of Kubernetes."""
NODE_PORT = 30080
"""Where the node answers for the frontend; Docker publishes it on a free port of the machine's loopback."""
_CONFIGURATION = {
    "kind": "Cluster",
    "apiVersion": "kind.x-k8s.io/v1alpha4",
    "nodes": [
        {
            "role": "control-plane",
            "extraPortMappings": [{"containerPort": NODE_PORT, "listenAddress": "127.0.0.1"}],
        }
    ],
    # As many pods as the node of our own takes.
    "kubeadmConfigPatches": [json.dumps({"kind": "KubeletConfiguration", "maxPods": 250})],
}
_PROCESSES = {
    "containerd": "containerd",
    "etcd": "etcd",
    "apiserver": "kube-apiserver",
    "controller-manager": "kube-controller-manager",
    "scheduler": "kube-scheduler",
    "proxy": "kube-proxy",
    "kubelet": "kubelet",
    "networkpolicy-enforcer": "kindnetd",
}
"""Components and the names of their processes in the node."""
_NAME_LENGTH = 15
"""What the kernel keeps of a process's name."""


def available() -> bool:
    """Whether a Docker engine answers."""
    return succeeds("docker", "info")


def up() -> None:
    """Creates the cluster unless it is there and works."""
    binaries.install_tools(binaries.HELM_TOOLS)
    kind = _kind()
    KUBECONFIG.parent.mkdir(parents=True, exist_ok=True)
    exists = CLUSTER in run(kind, "get", "clusters").split()
    if not (exists and _repaired(kind)):
        if exists:
            with step("remove a cluster that does not work"):
                down()
        with step("kind cluster", announce=True):
            image = ("--image", NODE_IMAGE) if NODE_IMAGE else ()
            command = ("create", "cluster", "--name", CLUSTER, "--config", "-", "--wait", "300s", *image)
            run(kind, *command, "--kubeconfig", KUBECONFIG, stdin=json.dumps(_CONFIGURATION))
        _take_kubectl()
    say(f"cluster is up: KUBECONFIG={KUBECONFIG}")


def down() -> None:
    """Deletes the cluster."""
    if succeeds("docker", "container", "inspect", NODE):
        run(_kind(), "delete", "cluster", "--name", CLUSTER, "--kubeconfig", KUBECONFIG)
    else:
        say("no cluster on this machine")
    KUBECONFIG.unlink(missing_ok=True)


def status() -> bool:
    """Prints what runs; whether there is a cluster that does."""
    if not (KUBECONFIG.exists() and succeeds("docker", "container", "inspect", NODE)):
        print("cluster: down")
        return False
    pid = int(run("docker", "container", "inspect", "--format", "{{.State.Pid}}", NODE))
    print(f"{NODE:24} {f'running, pid {pid}' if pid else 'NOT RUNNING'}")
    if not pid:
        return False
    for arguments in (("get", "nodes", "--output", "wide"), ("get", "pods", "--all-namespaces")):
        print(_kubectl(*arguments), end="")
    return True


def pause(component: str) -> None:
    """Stops a component of the node where it is."""
    run("docker", "exec", NODE, "pkill", "-STOP", "-x", _process_name(component))


def resume(component: str) -> None:
    """Lets a component go on that was paused."""
    run("docker", "exec", NODE, "pkill", "-CONT", "-x", _process_name(component))


def _process_name(component: str) -> str:
    if component not in _PROCESSES:
        raise ClusterError(f"{component!r} is not a component; there are: {', '.join(_PROCESSES)}")
    return _PROCESSES[component][:_NAME_LENGTH]


def restart(component: str) -> None:
    """Kills a component of the node, as a crash would, and waits until the node has started it again."""
    name = _process_name(component)
    before = _pids(name)
    with step(f"restart {component}"):
        run("docker", "exec", NODE, "pkill", "-KILL", "-x", name)
        if not until(lambda: bool(_pids(name) - before) and _answers(), 120, 0.2):
            raise ClusterError(f"{component} did not come back; see `docker exec {NODE} crictl ps --all`")


def load(archives_of_images: list[Path]) -> None:
    """Imports those images that the node does not have yet."""
    if not KUBECONFIG.exists():
        raise ClusterError("the cluster is down; bring it up with: make cluster-up")
    listed = json.loads(run("docker", "exec", NODE, "crictl", "images", "--output", "json"))["images"]
    there = {name: image["id"] for image in listed for name in image.get("repoTags") or ()}
    for archive in archives_of_images:
        name, configuration = archives.docker_identity(archive)
        if there.get(name) != configuration:
            with step(f"import {name}"):
                run(_kind(), "load", "image-archive", "--name", CLUSTER, archive)


def endpoint(namespace: str, service: str) -> str:
    """URL on the machine's loopback that leads to a Service, through a port of the node that every frontend shares."""
    original = endpoints.find_service(_kubectl, namespace, service)
    _kubectl("apply", "--filename", "-", stdin=json.dumps(endpoints.published(original, NODE_PORT)))
    address = run("docker", "port", NODE, f"{NODE_PORT}/tcp").split()[0]
    url = f"http://{address}"
    if not until(lambda: endpoints.answers(url), 120):
        raise ClusterError(f"no frontend answers at {url}")
    return url


def _repaired(kind: str) -> bool:
    """Starts a node that was stopped; whether the cluster works. One that was interrupted in the making does not."""
    if not (
        succeeds("docker", "start", NODE)
        and succeeds(kind, "export", "kubeconfig", "--name", CLUSTER, "--kubeconfig", KUBECONFIG)
    ):
        return False
    _take_kubectl()
    return until(_answers, 60, 0.5) and all(
        succeeds(BINARIES / "kubectl", "--kubeconfig", KUBECONFIG, *arguments)
        for arguments in (
            ("get", "storageclass", "standard"),  # what kind makes last
            ("wait", "--for=condition=Ready", f"node/{NODE}", "--timeout=180s"),
        )
    )


def _take_kubectl() -> None:
    """The node's own, which fits its API server; the one that was built with the other components will do as well."""
    if not (BINARIES / "kubectl").is_symlink():
        image = run("docker", "container", "inspect", "--format", "{{.Image}}", NODE).strip()
        binaries.install_copy("kubectl", f"{KIND} {image}", lambda made: _copy_from_node("/usr/bin/kubectl", made))


def _copy_from_node(path: str, target: Path) -> None:
    run("docker", "cp", "--follow-link", f"{NODE}:{path}", target)


def _kubectl(*arguments: str, stdin: str | None = None) -> str:
    return run(BINARIES / "kubectl", "--kubeconfig", KUBECONFIG, *arguments, stdin=stdin)


def _answers() -> bool:
    return succeeds(BINARIES / "kubectl", "--kubeconfig", KUBECONFIG, "get", "--raw", "/readyz")


def _pids(name: str) -> set[str]:
    return set(run("docker", "exec", NODE, "sh", "-c", f"pgrep -x {name} || true").split())


def _kind() -> str:
    found = shutil.which("kind")
    if found:
        return found
    binaries.install_tools((binaries.KIND_TOOL,))
    return str(BINARIES / "kind")
