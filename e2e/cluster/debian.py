"""The Debian packages that a node and the image builds need, installed when they are missing."""

import os
import shutil
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
