"""The Debian packages that a node and the image builds need, installed when they are missing."""

import os
import shutil
import tempfile
from pathlib import Path

from progress import ClusterError, step
from settings import HERE
from shell import run, succeeds

NODE_PACKAGES = {
    "etcd-server": "etcd",
    "containerd": "containerd",
    "runc": "runc",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "iptables": "iptables",
    "nftables": "nft",
    "iproute2": "ip",
    "conntrack": "conntrack",
    "socat": "socat",
    "openssl": "openssl",
    "gcc": "gcc",
    "libc6-dev": "/usr/include/stdlib.h",
}
"""Package, and the program or file that shows it is installed."""

IMAGE_PACKAGES = {
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
}

BROKER_PACKAGES = {
    "rabbitmq-server": "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "activemq": "/usr/share/activemq/bin/activemq.jar",
    "default-jre-headless": "java",
}
"""What tests of pollers start by themselves."""

AWS_CLI_PACKAGES = (
    "awscli",
    "docutils-common",
    "python3-awscrt",
    "python3-cffi-backend",
    "python3-colorama",
    "python3-cryptography",
    "python3-dateutil",
    "python3-distro",
    "python3-docutils",
    "python3-jmespath",
    "python3-prompt-toolkit",
    "python3-roman",
    "python3-ruamel.yaml",
    "python3-ruamel.yaml.clib",
    "python3-six",
    "python3-urllib3",
    "python3-wcwidth",
)
"""Version 2 of the aws cli and what it imports: it is nowhere to be had but from Debian and from AWS itself."""

_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def install(packages: dict[str, str]) -> None:
    """Installs those of `packages` that are not there."""
    missing = [name for name, evidence in packages.items() if not _there(evidence)]
    if not missing:
        return
    if os.geteuid() != 0 or not succeeds("apt-get", "--version"):
        raise ClusterError(f"install these Debian packages, or run as root on Debian: {' '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # starts no service
    with step(f"Debian packages: {' '.join(missing)}", announce=True):
        run("apt-get", "update", "--quiet", env=environment)
        run("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *missing, env=environment)


def unpack(packages: tuple[str, ...], folder: Path) -> None:
    """Unpacks packages into a folder, unless they are there: nothing is installed, and nobody need be root."""
    if folder.exists():
        return
    if not succeeds("apt-get", "--version"):
        raise ClusterError(f"these are packages of Debian, and this machine has no apt-get: {' '.join(packages)}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        step(f"Debian packages into {folder}: {packages[0]}", announce=True),
        tempfile.TemporaryDirectory(dir=folder.parent) as scratch,
    ):
        _download(packages, Path(scratch))
        for package in sorted(Path(scratch).glob("*.deb")):
            run("dpkg-deb", "--extract", str(package), f"{scratch}/root")
        Path(scratch, "root").rename(folder)


def _download(packages: tuple[str, ...], folder: Path) -> None:
    try:
        run("apt-get", "download", "--quiet", *packages, cwd=folder)
    except ClusterError:
        if os.geteuid() != 0:
            raise
        run("apt-get", "update", "--quiet")  # a machine that is new knows of no package
        run("apt-get", "download", "--quiet", *packages, cwd=folder)


def require_root() -> None:
    """A node changes network, mounts and cgroups of the machine."""
    if os.geteuid() != 0:
        raise ClusterError(
            "no Docker engine answers, and a node without one needs root.\n"
            f"Start Docker, or run as root: sudo python3 {HERE} up"
        )


def _there(evidence: str) -> bool:
    if evidence.startswith("/"):
        return Path(evidence).exists()
    return shutil.which(evidence, path=_PATH) is not None
