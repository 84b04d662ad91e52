"""containerd of the cluster's own, its images, and the removal of everything that it started."""

import os
import shutil
import signal
import tomllib
from pathlib import Path

import processes
from mounts import unmount_below
from progress import ClusterError
from settings import CONFIGURATION, CONTAINERD_SOCKET, PAUSE_IMAGE, RUN, STATE, TEST_REGISTRY
from shell import run, succeeds

from network import CNI_FOLDER

_CONFIGURATION = CONFIGURATION / "containerd.toml"
_REGISTRIES = CONFIGURATION / "certs.d"
_CONTENT = f"""version = 2
root = "{STATE}/containerd"
state = "{RUN}/containerd"
[grpc]
  address = "{CONTAINERD_SOCKET}"
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
    conf_dir = "{CNI_FOLDER}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def containerd() -> processes.Process:
    """The process; writes its configuration."""
    tomllib.loads(_CONTENT)
    _CONFIGURATION.write_text(_CONTENT)
    # A registry that a test runs on this machine is spoken to without TLS.
    registry = _REGISTRIES / TEST_REGISTRY
    registry.mkdir(parents=True, exist_ok=True)
    # Without a `host`, containerd 1.6 does not read the file at all.
    (registry / "hosts.toml").write_text(
        f'server = "http://{TEST_REGISTRY}"\n[host."http://{TEST_REGISTRY}"]\n  capabilities = ["pull", "resolve"]\n'
    )
    command = ("/usr/bin/containerd", "--config", str(_CONFIGURATION), "--log-level", "warn")
    return processes.Process("containerd", command, (_CONFIGURATION,), ready=_answers)


def image_digests() -> dict[str, str]:
    """Names and digests of the images that the node has."""
    lines = [line.split() for line in _ctr("images", "list").splitlines()[1:]]
    return {words[0]: words[2] for words in lines if len(words) > 2 and not words[0].startswith("sha256:")}


def load_image(archive: Path) -> None:
    """Imports an OCI or Docker archive under the fully qualified names that it carries."""
    if not archive.is_file():
        raise ClusterError(f"{archive} is not an image archive")
    _ctr("images", "import", "--all-platforms", str(archive))


def kill_everything() -> None:
    """Kills the containers and their shims, unmounts what they leave and removes their cgroups."""
    for shim in processes.pids_of(_is_our_shim):
        for child in _children(shim):
            _kill(child)
        _kill(shim)
    processes.until(lambda: not processes.pids_of(_is_our_shim), 10)
    unmount_below(STATE, RUN)
    _remove_cgroups()


def remove_files() -> None:
    """Removes the folders, once nothing is mounted in them any more."""
    unmount_below(STATE, RUN)
    for folder in (RUN, STATE):
        shutil.rmtree(folder, ignore_errors=False) if folder.exists() else None


def _ctr(*arguments: str) -> str:
    return run("ctr", "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", *arguments)


def _answers() -> bool:
    return succeeds("ctr", "--address", CONTAINERD_SOCKET, "version")


def _is_our_shim(words: tuple[str, ...]) -> bool:
    return Path(words[0]).name.startswith("containerd-shim") and str(CONTAINERD_SOCKET) in words


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


def _remove_cgroups() -> None:
    """kubelet's and containerd's, in every hierarchy; they can be removed once their processes are gone."""
    root = Path("/sys/fs/cgroup")
    hierarchies = [root, *(path for path in root.iterdir() if path.is_dir())]
    for top in {hierarchy / name for hierarchy in hierarchies for name in ("kubepods", "k8s.io")}:
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
