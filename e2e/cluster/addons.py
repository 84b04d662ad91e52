"""What a cluster has before anybody installs something: CoreDNS and a default StorageClass."""

import json
from pathlib import Path

from node import resolver_file
from settings import COREDNS_IMAGE, DNS_SERVICE_IP
from shell import kubectl

PROVISIONER = "kubelambda.dev/host-path"
STORAGE_CLASS = "standard"
_LABELS = {"k8s-app": "kube-dns"}
_READ = ["list", "watch"]


def apply_addons() -> None:
    """Applies them; nothing changes when they are there."""
    items = [*_dns_permissions(), *_dns(), _storage_class()]
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    kubectl("apply", "--server-side", "--force-conflicts", "--filename", "-", stdin=json.dumps(listed))


def wait_for_addons() -> None:
    """Waits until cluster names resolve and new pods find their service account."""
    kubectl("--namespace", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
    kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=180s")


def _metadata(name: str) -> dict[str, object]:
    return {"name": name, "namespace": "kube-system", "labels": _LABELS}


def _corefile() -> str:
    """Names outside the cluster are asked of the machine's name servers, where pods can reach those."""
    servers = [line.split()[1] for line in _resolver_lines() if line.startswith("nameserver ")]
    reachable = [server for server in servers if not server.startswith(("127.", "::1"))]
    forward = f"  forward . {' '.join(reachable)}\n" if reachable else ""
    cluster = "  kubernetes cluster.local in-addr.arpa ip6.arpa {\n    pods insecure\n    ttl 5\n  }\n"
    health = "  health :8080\n  ready :8181\n"
    return f".:53 {{\n  errors\n{health}{cluster}{forward}  cache 5\n  reload 5s\n  loadbalance\n}}\n"


def _resolver_lines() -> list[str]:
    path: Path = resolver_file()
    return path.read_text().splitlines() if path.exists() else []


def _dns_permissions() -> list[dict[str, object]]:
    rules = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": _READ},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": _READ},
    ]
    rbac = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata("coredns")},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": "system:coredns"}, "rules": rules},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "system:coredns"},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "system:coredns"},
            "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}],
        },
    ]


def _dns() -> list[dict[str, object]]:
    ports = [{"name": f"dns-{name}", "port": 53, "protocol": name.upper()} for name in ("udp", "tcp")]
    service = {"selector": _LABELS, "clusterIP": DNS_SERVICE_IP, "ports": ports}
    template = {"metadata": {"labels": _LABELS}, "spec": _dns_pod()}
    # Rolling over one replica on one node: no port is shared, so the new one may come first.
    deployment = {"replicas": 1, "selector": {"matchLabels": _LABELS}, "template": template}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata("coredns"), "data": {"Corefile": _corefile()}},
        {"apiVersion": "v1", "kind": "Service", "metadata": _metadata("kube-dns"), "spec": service},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": _metadata("coredns"), "spec": deployment},
    ]


def _dns_pod() -> dict[str, object]:
    container = {
        "name": "coredns",
        "image": COREDNS_IMAGE,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [
            {"name": "dns-udp", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 10},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "170Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        },
        "volumeMounts": [{"name": "configuration", "mountPath": "/etc/coredns", "readOnly": True}],
    }
    return {
        "serviceAccountName": "coredns",
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [{"name": "configuration", "configMap": {"name": "coredns"}}],
    }


def _storage_class() -> dict[str, object]:
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS, "annotations": default},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }
