"""containerd of a node's own, its images, and the removal of everything that it started."""

import os
import shutil
import signal
import tomllib
from collections.abc import Iterable
from pathlib import Path

import archives
import processes
from mounts import unmount_below
from node_identity import FIRST, Node
from progress import ClusterError, step
from settings import CONFIGURATION, PAUSE_IMAGE, RUN, STATE, TEST_REGISTRY
from shell import run, succeeds

from network import cni_folder

_REGISTRIES = CONFIGURATION / "certs.d"
_RUNC = Path("/run/containerd/runc/k8s.io")
"""Where runc keeps what it knows of containers, whichever containerd they are of."""


def _content(node: Node) -> str:
    return f"""version = 2
root = "{node.state}/containerd"
state = "{node.run}/containerd"
[grpc]
  address = "{node.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Machines without CAP_SYS_RESOURCE may not lower a process's OOM score.
  restrict_oom_score_adj = true
  # With the network namespaces in a folder of ours, taking the cluster down finds them all.
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{_REGISTRIES}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni_folder(node)}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def containerd(node: Node = FIRST) -> processes.Process:
    """The process; writes its configuration."""
    configuration, content = node.configuration / "containerd.toml", _content(node)
    tomllib.loads(content)
    configuration.write_text(content)
    # A registry that a test runs on this machine is spoken to without TLS.
    registry = _REGISTRIES / TEST_REGISTRY
    registry.mkdir(parents=True, exist_ok=True)
    # Without a `host`, containerd 1.6 does not read the file at all.
    (registry / "hosts.toml").write_text(
        f'server = "http://{TEST_REGISTRY}"\n[host."http://{TEST_REGISTRY}"]\n  capabilities = ["pull", "resolve"]\n'
    )
    command = ("/usr/bin/containerd", "--config", str(configuration), "--log-level", "warn")
    name = node.process("containerd")
    return processes.Process(name, command, (configuration,), ready=lambda: _answers(node))


def image_digests(node: Node = FIRST) -> dict[str, str]:
    """Names and digests of the images that a node has."""
    lines = [line.split() for line in _ctr(node, "images", "list").splitlines()[1:]]
    return {words[0]: words[2] for words in lines if len(words) > 2 and not words[0].startswith("sha256:")}


def load_image(archive: Path, node: Node = FIRST) -> None:
    """Imports an OCI or Docker archive under the fully qualified names that it carries."""
    if not archive.is_file():
        raise ClusterError(f"{archive} is not an image archive")
    _ctr(node, "images", "import", "--all-platforms", str(archive))


def load_images(images: Iterable[Path], node: Node = FIRST) -> None:
    """Imports those images of archives that a node does not have yet."""
    there = image_digests(node)
    for archive in images:
        name, digest = archives.identity(archive)
        if there.get(name) != digest:
            with step(f"import {name}"):
                load_image(archive, node)


def make_cgroup(node: Node) -> None:
    """The root of a further node's control groups, which its kubelet wants to be there."""
    for hierarchy in _hierarchies():
        (hierarchy / node.cgroup.removeprefix("/")).mkdir(exist_ok=True)


def kill_everything(*nodes: Node) -> None:
    """Kills the containers of nodes and their shims, unmounts what they leave and removes their cgroups."""

    def is_theirs(words: tuple[str, ...]) -> bool:
        sockets = {str(node.socket) for node in nodes}
        return Path(words[0]).name.startswith("containerd-shim") and not sockets.isdisjoint(words)

    for shim in processes.pids_of(is_theirs):
        for child in _children(shim):
            _kill(child)
        _kill(shim)
    processes.until(lambda: not processes.pids_of(is_theirs), 10)
    for node in nodes:
        _forget_containers(node)
        unmount_below(*((STATE, RUN) if node == FIRST else (node.state, node.run)))
        _remove_cgroups(node)


def forget_memory(node: Node) -> None:
    """Removes what a machine does not keep that is switched off."""
    _remove(node.run)


def remove_node(node: Node) -> None:
    """Removes the folders of a further node, once nothing is mounted in them any more."""
    _remove(node.run, node.state, node.configuration, node.pod_logs.parent)


def remove_files() -> None:
    """Removes the folders, once nothing is mounted in them any more."""
    _remove(RUN, STATE)


def _remove(*folders: Path) -> None:
    unmount_below(*folders)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=False) if folder.exists() else None


def _ctr(node: Node, *arguments: str) -> str:
    return run("ctr", "--address", node.socket, "--namespace", "k8s.io", *arguments)


def _answers(node: Node) -> bool:
    return succeeds("ctr", "--address", node.socket, "version")


def _forget_containers(node: Node) -> None:
    """Removes what shims and runc keep outside of the node's folders."""
    for bundle in (node.run / "containerd" / "io.containerd.runtime.v2.task" / "k8s.io").glob("*"):
        address = bundle / "address"
        if address.is_file():
            Path(address.read_text().removeprefix("unix://")).unlink(missing_ok=True)
        shutil.rmtree(_RUNC / bundle.name, ignore_errors=True)


def _children(parent: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == parent:
                found.append(int(folder.name))
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _hierarchies() -> list[Path]:
    """Of control groups: one, or one of each controller."""
    root = Path("/sys/fs/cgroup")
    found = [path for path in root.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink()]
    return [root] if (root / "cgroup.controllers").exists() else found


def _remove_cgroups(node: Node) -> None:
    """kubelet's and containerd's, in every hierarchy; they can be removed once their processes are gone."""
    names = ("kubepods", "k8s.io") if node == FIRST else (node.cgroup.removeprefix("/"),)
    for top in {hierarchy / name for hierarchy in _hierarchies() for name in names}:
        if top.is_dir():
            folders = [Path(folder) for folder, _, _ in os.walk(top, topdown=False)]
            processes.until(lambda pending=folders: all(_remove_cgroup(folder) for folder in pending), 5)  # type: ignore[misc]


def _remove_cgroup(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
