"""Kubernetes, CoreDNS and Helm, built from Go modules once per version and kept in the cache folder."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from progress import ClusterError, step
from settings import BINARIES, COREDNS, HELM3, HELM4, HERE, KIND, KUBERNETES, NATS
from shell import run

COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
SOURCE = HERE / "kubernetes"
GO_MINIMUM = (1, 21)
"""The first Go that fetches the newer toolchain which a module asks for by itself."""


@dataclass(frozen=True)
class GoTool:
    """A command that `go install` builds from a published module."""

    name: str
    package: str
    version: str

    @property
    def key(self) -> str:
        """What the binary was built from."""
        return f"{self.package}@{self.version}"


COREDNS_TOOL = GoTool("coredns", "github.com/coredns/coredns", COREDNS)
HELM_TOOLS = (
    GoTool("helm", "helm.sh/helm/v3/cmd/helm", HELM3),
    GoTool("helm4", "helm.sh/helm/v4/cmd/helm", HELM4),
)
NATS_TOOL = GoTool("nats-server", "github.com/nats-io/nats-server/v2", NATS)
KIND_TOOL = GoTool("kind", "sigs.k8s.io/kind", KIND)


def build_kubernetes() -> None:
    """One multi-call binary, and a link to it for every component."""
    flags = _version_flags()
    digest = hashlib.sha256(flags.encode())
    for source in sorted(SOURCE.rglob("*")):
        if source.is_file():
            digest.update(source.read_bytes())
    key = f"kubernetes@{KUBERNETES} sha256:{digest.hexdigest()}"
    if not _is_current("kube", key):
        with step(f"build Kubernetes {KUBERNETES} (minutes when cold, seconds with a Go build cache)", announce=True):
            _require_go()
            BINARIES.mkdir(parents=True, exist_ok=True)
            made = BINARIES / ".kube.new"
            command = ("go", "-C", str(SOURCE), "build", "-trimpath", "-ldflags", flags, "-o", str(made), ".")
            run(*command, env={**os.environ, "CGO_ENABLED": "0"})
            _publish(made, "kube", key)
    for component in COMPONENTS:
        link = BINARIES / component
        if not link.is_symlink():
            link.unlink(missing_ok=True)
            link.symlink_to("kube")


def install_tools(tools: Iterable[GoTool]) -> None:
    """Builds those of `tools` that are not there at their version."""
    for tool in tools:
        if _is_current(tool.name, tool.key):
            continue
        with step(f"build {tool.name} {tool.version}", announce=True), tempfile.TemporaryDirectory() as folder:
            _require_go()
            BINARIES.mkdir(parents=True, exist_ok=True)
            environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": folder}
            run("go", "install", "-trimpath", "-ldflags", "-s -w", tool.key, env=environment)
            built = BINARIES / f".{tool.name}.new"
            shutil.copy2(next(Path(folder).iterdir()), built)
            _publish(built, tool.name, tool.key)


def install_copy(name: str, key: str, copy: Callable[[Path], None]) -> None:
    """Keeps a program that `copy` fetches, unless it is there already."""
    if not _is_current(name, key):
        BINARIES.mkdir(parents=True, exist_ok=True)
        made = BINARIES / f".{name}.new"
        copy(made)
        made.chmod(0o755)
        _publish(made, name, key)


def _version_flags() -> str:
    """Without these the API server calls itself v0.0.0."""
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    values = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    modules = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    settings = [f"-X {module}.{name}={value}" for module in modules for name, value in values.items()]
    return " ".join(["-s -w", *settings])


def _require_go() -> None:
    """A Go toolchain that is there and can fetch the one that a module wants."""
    if shutil.which("go") is None:
        raise ClusterError("Kubernetes is built from Go modules, and `go` is not on PATH: install Go 1.21 or newer")
    found = re.search(r"go(\d+)\.(\d+)", run("go", "version"))
    if found is None or (int(found[1]), int(found[2])) < GO_MINIMUM:
        raise ClusterError(
            f"Go {GO_MINIMUM[0]}.{GO_MINIMUM[1]} or newer is needed; this is {run('go', 'version').strip()}"
        )


def stamp(name: str) -> Path:
    """The file that says what a binary was built from."""
    return BINARIES / f".{name}.version"


def _is_current(name: str, key: str) -> bool:
    written = stamp(name)
    return (BINARIES / name).exists() and written.exists() and written.read_text() == key


def _publish(built: Path, name: str, key: str) -> None:
    """The stamp goes away first: a crash between the two lines costs a build, never a wrong binary."""
    stamp(name).unlink(missing_ok=True)
    built.replace(BINARIES / name)
    stamp(name).write_text(key)
