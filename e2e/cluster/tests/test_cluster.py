"""The cluster keeps what its users rely on: policies, volumes, names, and a restart that changes nothing else."""

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from image_builds import reference
from scratch_namespace import Namespace, eventually

PROGRAM = Path(__file__).parent.parent


def cluster(*arguments: str) -> str:
    """Runs the cluster's own command."""
    command = [sys.executable, str(PROGRAM), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout


@pytest.fixture(scope="module")
def make_namespace() -> Iterator[Callable[..., Namespace]]:
    """Makes namespaces that go away with the module."""
    made: list[Namespace] = []

    def make(**labels: str) -> Namespace:
        namespace = Namespace(f"cluster-{uuid.uuid4().hex[:6]}", reference("platform"))
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace.name, "labels": labels}}
        made.append(namespace)
        namespace.kubectl("apply", "--filename", "-", stdin=json.dumps(manifest))
        return namespace

    yield make
    for namespace in made:
        namespace.kubectl("delete", "namespace", namespace.name, "--wait=false")


@pytest.fixture(scope="module")
def namespaces(make_namespace: Callable[..., Namespace]) -> tuple[Namespace, Namespace]:
    """A server and two clients in one namespace, a third client in another."""
    ours, theirs = make_namespace(), make_namespace(team="theirs")
    ours.server("server", 8080, 8081)
    ours.server("client", 8080)
    ours.server("stranger", 8080)
    theirs.server("client", 8080)
    ours.apply("Service", "server", {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": "web"}]})
    for namespace in (ours, theirs):
        namespace.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=110s")
    assert eventually(lambda: ours.reaches("client", f"http://server.{ours.name}"))
    return ours, theirs


def test_ingress_policies_are_enforced(namespaces: tuple[Namespace, Namespace]) -> None:
    """By pod, by namespace, by named port and by range, through a Service and directly."""
    ours, theirs = namespaces
    service, direct = f"http://server.{ours.name}", f"http://{ours.address('server')}"
    assert eventually(lambda: ours.reaches("stranger", service) and theirs.reaches("client", service))
    rules = [
        {"from": [{"podSelector": {"matchLabels": {"app": "client"}}}], "ports": [{"port": "web"}]},
        {
            "from": [{"namespaceSelector": {"matchLabels": {"team": "theirs"}}}],
            "ports": [{"port": 8081, "endPort": 8090}],
        },
    ]
    spec = {"podSelector": {"matchLabels": {"app": "server"}}, "ingress": rules}
    ours.apply("NetworkPolicy", "server", spec, api="networking.k8s.io/v1")
    assert eventually(lambda: not ours.reaches("stranger", service))
    assert eventually(lambda: ours.reaches("client", service))
    assert not ours.reaches("client", f"{direct}:8081")
    assert not theirs.reaches("client", service)
    assert eventually(lambda: theirs.reaches("client", f"{direct}:8081"))
    assert eventually(lambda: ours.reaches("server", f"{direct}:8081"))
    ours.kubectl("delete", "networkpolicy", "server")
    assert eventually(lambda: ours.reaches("stranger", service))


def test_egress_policies_are_enforced(namespaces: tuple[Namespace, Namespace]) -> None:
    """A pod that may only ask for names and reach one other pod."""
    ours, theirs = namespaces
    names = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    rules = [
        {"to": [names], "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
        {"to": [{"podSelector": {"matchLabels": {"app": "server"}}}]},
    ]
    spec = {"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Egress"], "egress": rules}
    ours.apply("NetworkPolicy", "client", spec, api="networking.k8s.io/v1")
    elsewhere = f"http://{theirs.address('client')}:8080"
    assert eventually(lambda: not ours.reaches("client", elsewhere))
    assert eventually(lambda: ours.reaches("client", f"http://server.{ours.name}"))
    assert eventually(lambda: ours.reaches("stranger", elsewhere))
    assert eventually(lambda: theirs.reaches("client", f"http://{ours.address('client')}:8080"))
    ours.kubectl("delete", "networkpolicy", "client")
    assert eventually(lambda: ours.reaches("client", elsewhere))


STREAM = """
import socket, sys
sent = memoryview(bytes(1 << 20))
listener = socket.create_server(("", 9000))
while True:
    connection = listener.accept()[0]
    with connection:
        way, count = connection.recv(16).decode().split() or ("probe", 0)
        for _ in range(int(count) if way == "out" else 0):
            connection.sendall(sent)
        while way == "in" and connection.recv(1 << 20):
            pass
"""
ASK = """
import socket, sys, time
address, way, count = sys.argv[1:]
began = time.monotonic()
with socket.create_connection((address, 9000), timeout=60) as connection:
    connection.sendall(f"{way} {count}".ljust(16).encode())
    for _ in range(int(count) if way == "in" else 0):
        connection.sendall(bytes(1 << 20))
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(1 << 20):
        pass
print(time.monotonic() - began)
"""


def test_the_bandwidth_of_a_pod_is_what_its_annotations_say(
    make_namespace: Callable[..., Namespace], namespaces: tuple[Namespace, Namespace]
) -> None:
    """In both directions, once the half gigabyte that containerd lets pass first is through."""
    namespace, mb_per_s, burst_mb, more_mb = namespaces[0], 100, 537, 200
    limits = {f"kubernetes.io/{way}-bandwidth": f"{mb_per_s * 8}M" for way in ("ingress", "egress")}
    container = {
        "name": "stream",
        "image": namespace.image,
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", STREAM],
        "readinessProbe": {"tcpSocket": {"port": 9000}, "periodSeconds": 1},
    }
    spec = {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0, "containers": [container]}
    namespace.apply("Pod", "limited", spec, annotations=limits)
    namespace.kubectl("wait", "--for=condition=Ready", "pod/limited", "--timeout=110s")
    for way in ("in", "out"):
        arguments = (namespace.address("limited"), way, str(burst_mb + more_mb))
        took = float(namespace.kubectl("exec", "client", "--", "python3", "-c", ASK, *arguments))
        assert took > more_mb / mb_per_s


def test_claims_get_volumes_that_go_away_with_them(make_namespace: Callable[..., Namespace]) -> None:
    """The default class serves a pod that runs as an ordinary user, and its volume goes with the claim."""
    namespace = make_namespace(**{"pod-security.kubernetes.io/enforce": "restricted"})
    size = {"requests": {"storage": "1Gi"}}
    namespace.apply("PersistentVolumeClaim", "data", {"accessModes": ["ReadWriteOnce"], "resources": size})
    container = {
        "name": "writer",
        "image": namespace.image,
        "imagePullPolicy": "Never",
        "command": ["/bin/sh", "-c", "echo kept > /data/file && cat /data/file"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    spec = {"restartPolicy": "Never", "securityContext": security, "containers": [container], "volumes": volumes}
    namespace.apply("Pod", "writer", spec)
    namespace.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/writer", "--timeout=110s")
    volume = namespace.kubectl("get", "pvc", "data", "--output", "jsonpath={.spec.volumeName}")
    namespace.kubectl("delete", "pod/writer", "pvc/data")
    assert eventually(lambda: volume not in namespace.kubectl("get", "pv", "--output", "name"))


def test_the_api_server_comes_back_and_pods_notice_nothing(namespaces: tuple[Namespace, Namespace]) -> None:
    """A killed API server is started again; no pod is restarted."""
    ours, _ = namespaces
    cluster("restart", "apiserver")
    assert eventually(lambda: ours.reaches("client", f"http://server.{ours.name}"))
    restarts = ours.kubectl("get", "pods", "--output", "jsonpath={.items[*].status.containerStatuses[*].restartCount}")
    assert set(restarts.split()) == {"0"}


def test_bringing_a_running_cluster_up_changes_nothing() -> None:
    """Every process is the same one afterwards."""
    cluster("up")
    before = [line for line in cluster("status").splitlines() if "pid" in line]
    cluster("up")
    assert [line for line in cluster("status").splitlines() if "pid" in line] == before


def test_the_kubeconfig_is_the_clusters_own() -> None:
    """Its path is all that is printed, and it is not the user's."""
    path = Path(cluster("kubeconfig").removesuffix("\n"))
    assert path.is_file()
    assert path != Path.home() / ".kube" / "config"
