"""A second node in another zone: its pods are in one network with the others, it is lost without a word, and goes."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import second_node
import single_node
from image_builds import reference
from node_identity import FIRST, NODES, SECOND
from scratch_namespace import Namespace, eventually

PROGRAM = Path(__file__).parent.parent

ASK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 8080), timeout=2).close()
    print("reached")
except TimeoutError:
    print("silence")
except OSError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    """A namespace, and a second node that has the image of its pods."""
    if "kubelambda " not in output("kubectl", "get", "nodes"):
        pytest.skip("a second node is added to a node of our own only")
    made = Namespace(f"nodes-{uuid.uuid4().hex[:6]}", reference("platform"))
    made.kubectl("apply", "--filename", "-", stdin=json.dumps(manifest(made.name)))
    cluster("node", "add", "platform")
    yield made
    cluster("node", "remove")
    made.kubectl("delete", "namespace", made.name, "--wait=false")


def manifest(name: str) -> dict[str, object]:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def cluster(*arguments: str) -> None:
    """Runs the cluster's own command."""
    subprocess.run([sys.executable, str(PROGRAM), *arguments], capture_output=True, timeout=240, check=True)


def output(*command: str) -> str:
    """What a program prints."""
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def said(namespace: Namespace, pod: str, address: str) -> str:
    """What comes of connecting from a pod."""
    return namespace.kubectl("exec", pod, "--", "python3", "-c", ASK, address).strip()


def test_it_is_a_node_until_it_is_lost_and_leaves_nothing_behind(namespace: Namespace) -> None:
    """Pods of both reach each other, and policies hold; then nothing answers, not even a reset; then it is gone."""
    for node in NODES:
        pod = f"on-{node.zone}"
        namespace.server(pod, 8080, nodeSelector={"topology.kubernetes.io/zone": node.zone})
    namespace.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=110s")
    here, there = (f"on-{node.zone}" for node in NODES)
    address = namespace.address(there)
    assert eventually(lambda: said(namespace, here, address) == "reached")
    assert eventually(lambda: said(namespace, there, namespace.address(here)) == "reached")

    closed = {"podSelector": {"matchLabels": {"app": there}}, "policyTypes": ["Ingress"]}
    namespace.apply("NetworkPolicy", "closed", closed, api="networking.k8s.io/v1")
    assert eventually(lambda: said(namespace, here, address) == "silence")
    namespace.kubectl("delete", "networkpolicy", "closed")
    assert eventually(lambda: said(namespace, here, address) == "reached")

    cluster("node", "lose")
    assert said(namespace, here, address) == "silence"
    cluster("node", "remove")
    assert traces() == []
    assert FIRST.name in output("kubectl", "get", "nodes", "--output", "name")


def traces() -> list[str]:
    """What there is of the second node on the machine and in the cluster."""
    commands = command_lines()
    ours = (str(SECOND.run), str(SECOND.state), str(SECOND.configuration))
    found = [line for line in (*commands, *mounts()) if any(word in line for word in ours)]
    found += [str(path) for path in (SECOND.run, SECOND.state, SECOND.configuration) if path.exists()]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*{SECOND.cgroup}")]
    found += [line for line in output("ip", "-brief", "address").splitlines() if f"{SECOND.ip}/" in line]
    found += [line for line in output("ip", "route").splitlines() if line.startswith(SECOND.pods.rpartition(".")[0])]
    found += [line for line in output("nft", "list", "tables").splitlines() if "lost" in line]
    found += [line for line in output("kubectl", "get", "nodes").splitlines() if SECOND.name in line]
    return found


def command_lines() -> list[str]:
    """Those of the processes of the machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def mounts() -> list[str]:
    """Those of the machine."""
    return Path("/proc/self/mountinfo").read_text().splitlines()


def test_taking_the_cluster_down_takes_it_along(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its processes are stopped before its containers are killed, and those before the folders of all go."""
    done: list[str] = []
    monkeypatch.setattr(single_node, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(single_node.debian, "require_root", lambda: None)
    monkeypatch.setattr(single_node, "STATE", tmp_path)
    monkeypatch.setattr(single_node.processes, "stop", lambda name, *_: done.append(name))
    monkeypatch.setattr(single_node.runtime, "kill_everything", lambda *nodes: done.extend(each.name for each in nodes))
    monkeypatch.setattr(single_node.runtime, "remove_files", lambda: done.append("files"))
    monkeypatch.setattr(single_node.network, "tear_down", lambda: done.append("network"))
    monkeypatch.setattr(single_node.node, "remove_leftovers", lambda: None)
    single_node.down()
    order = [done.index(each) for each in (*second_node.PROCESSES, SECOND.name, "network", "files")]
    assert order == sorted(order)
