"""kubelet and kube-proxy."""

import json
from pathlib import Path

import certificates
from binaries import stamp
from mounts import remove_if_empty
from node_identity import FIRST, Node
from processes import Process, healthy
from settings import BINARIES, CLUSTER, DNS_SERVICE_IP, LOGS, POD_CIDR

CONTAINER_LOG_LINKS = Path("/var/log/containers")
_DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")
_SYSTEMD_RESOLVERS = Path("/run/systemd/resolve/resolv.conf")


def kubelet(node: Node = FIRST) -> Process:
    """The kubelet of a node; writes its configuration."""
    settings = _kubelet_settings(node)
    configuration = _write(node, "kubelet", "kubelet.config.k8s.io/v1beta1", "KubeletConfiguration", settings)
    kubeconfig = certificates.kubelet(node).kubeconfig
    command = (
        str(BINARIES / "kubelet"),
        f"--config={configuration}",
        f"--kubeconfig={kubeconfig}",
        f"--root-dir={node.state}/kubelet",
        f"--node-ip={node.ip}",
        f"--hostname-override={node.name}",
    )
    return Process(
        node.process("kubelet"),
        command,
        (configuration, kubeconfig, stamp("kube")),
        ready=lambda: healthy(f"http://127.0.0.1:{node.ports[1]}/healthz"),
    )


def proxy() -> Process:
    """kube-proxy, with nftables; writes its configuration."""
    settings: dict[str, object] = {
        "mode": "nftables",
        "clusterCIDR": POD_CIDR,
        "hostnameOverride": CLUSTER,
        "clientConnection": {"kubeconfig": str(certificates.PROXY.kubeconfig)},
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # Zero: leave the machine's connection tracking as it is.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
    }
    configuration = _write(FIRST, "proxy", "kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration", settings)
    command = (str(BINARIES / "kube-proxy"), f"--config={configuration}")
    files = (configuration, certificates.PROXY.kubeconfig, stamp("kube"))
    return Process("proxy", command, files, ready=lambda: healthy("http://127.0.0.1:10256/livez"))


def resolver_file() -> Path:
    """The machine's own name servers, not systemd's stub on loopback, which pods cannot reach."""
    return _SYSTEMD_RESOLVERS if _SYSTEMD_RESOLVERS.exists() else Path("/etc/resolv.conf")


def remove_leftovers() -> None:
    """What the kubelet keeps outside its own folder."""
    (_DEVICE_PLUGINS / "kubelet.sock").unlink(missing_ok=True)
    remove_if_empty(_DEVICE_PLUGINS, _DEVICE_PLUGINS.parent)
    if CONTAINER_LOG_LINKS.is_dir():
        for link in CONTAINER_LOG_LINKS.iterdir():
            if link.is_symlink() and Path(link.readlink()).is_relative_to(LOGS):
                link.unlink()
        remove_if_empty(CONTAINER_LOG_LINKS)


def _kubelet_settings(node: Node) -> dict[str, object]:
    never_evict_for_disk = {"nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%"}
    certificate = certificates.kubelet(node)
    return {
        "containerRuntimeEndpoint": f"unix://{node.socket}",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "maxPods": 250,
        "podLogsDir": str(node.pod_logs),
        "volumePluginDir": str(node.state / "kubelet" / "volume-plugins"),
        "resolvConf": str(resolver_file()),
        "clusterDNS": [DNS_SERVICE_IP],
        "clusterDomain": "cluster.local",
        "address": "0.0.0.0",
        "tlsCertFile": str(certificate.path),
        "tlsPrivateKeyFile": str(certificate.key),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(certificates.AUTHORITY)},
        },
        "authorization": {"mode": "Webhook"},
        "syncFrequency": "10s",
        "serializeImagePulls": False,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "eventRecordQPS": 50,
        "eventBurst": 100,
        # kube-proxy needs none of the iptables chains that the kubelet makes for its older modes.
        "makeIPTablesUtilChains": False,
        # Images are imported and cannot be pulled again: none may be collected.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", **never_evict_for_disk},
        **_apart(node),
    }


def _apart(node: Node) -> dict[str, object]:
    """What a further kubelet of the machine may not share with the first one, which has the defaults."""
    if node == FIRST:
        return {}
    return {"port": node.ports[0], "healthzPort": node.ports[1], "cgroupRoot": node.cgroup}


def _write(node: Node, name: str, version: str, kind: str, settings: dict[str, object]) -> Path:
    path = node.configuration / f"{name}.json"
    content = json.dumps({"apiVersion": version, "kind": kind, **settings}, indent=2)
    # kube-proxy ends itself when its file is written, even with the same content.
    if not path.exists() or path.read_text() != content:
        path.write_text(content)
    return path
