"""etcd, the API server and its two companions, on the machine's own processes."""

import shutil

import certificates
from binaries import stamp
from processes import Process, healthy
from progress import ClusterError
from settings import (
    API_PORT,
    BINARIES,
    ETCD_PORT,
    KUBECONFIG,
    NODE_IP,
    POD_CIDR,
    SERVICE_CIDR,
    STATE,
)
from shell import succeeds

_ETCD = f"http://127.0.0.1:{ETCD_PORT}"
_CLIENT_RATE = ("--kube-api-qps=200", "--kube-api-burst=400")
"""Thirty pods at once must not wait for a client's rate limit."""


def etcd() -> Process:
    """The store; Debian's package."""
    program = shutil.which("etcd", path="/usr/local/bin:/usr/bin")
    if program is None:
        raise ClusterError("etcd is not installed: apt-get install etcd-server")
    peers = f"http://127.0.0.1:{ETCD_PORT + 1}"
    command = (
        program,
        "--name=cluster",
        f"--data-dir={STATE}/etcd",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=cluster={peers}",
        "--auto-compaction-retention=1",
        "--log-level=warn",
    )
    return Process("etcd", command, ready=lambda: healthy(f"{_ETCD}/health"))


def api_server() -> Process:
    """kube-apiserver, reachable from the machine and from pods."""
    command = (
        str(BINARIES / "kube-apiserver"),
        f"--etcd-servers={_ETCD}",
        "--bind-address=0.0.0.0",
        f"--secure-port={API_PORT}",
        f"--advertise-address={NODE_IP}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--client-ca-file={certificates.AUTHORITY}",
        f"--tls-cert-file={certificates.API_SERVER.path}",
        f"--tls-private-key-file={certificates.API_SERVER.key}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={certificates.SERVICE_ACCOUNT_PUBLIC}",
        f"--service-account-signing-key-file={certificates.SERVICE_ACCOUNT_KEY}",
        f"--kubelet-client-certificate={certificates.KUBELET_CLIENT.path}",
        f"--kubelet-client-key={certificates.KUBELET_CLIENT.key}",
        f"--kubelet-certificate-authority={certificates.AUTHORITY}",
        "--kubelet-preferred-address-types=InternalIP",
        "--profiling=false",
    )
    return Process(
        "apiserver",
        command,
        (certificates.API_SERVER.path, certificates.API_SERVER.key, stamp("kube")),
        ready=api_server_is_ready,
    )


def controller_manager() -> Process:
    """kube-controller-manager."""
    kubeconfig = certificates.CONTROLLER_MANAGER.kubeconfig
    command = (
        str(BINARIES / "kube-controller-manager"),
        f"--kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={certificates.SERVICE_ACCOUNT_KEY}",
        f"--root-ca-file={certificates.AUTHORITY}",
        f"--cluster-cidr={POD_CIDR}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--allocate-node-cidrs=false",
        "--profiling=false",
        *_CLIENT_RATE,
    )
    return Process(
        "controller-manager",
        command,
        (kubeconfig, stamp("kube")),
        ready=lambda: healthy("https://127.0.0.1:10257/healthz"),
    )


def scheduler() -> Process:
    """kube-scheduler."""
    kubeconfig = certificates.SCHEDULER.kubeconfig
    command = (
        str(BINARIES / "kube-scheduler"),
        f"--kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--profiling=false",
        *_CLIENT_RATE,
    )
    return Process(
        "scheduler", command, (kubeconfig, stamp("kube")), ready=lambda: healthy("https://127.0.0.1:10259/healthz")
    )


def api_server_is_ready() -> bool:
    """Whether every post-start hook of the API server is done."""
    command = (BINARIES / "kubectl", "--kubeconfig", KUBECONFIG, "--request-timeout=5s", "get", "--raw=/readyz")
    return succeeds(*command)
