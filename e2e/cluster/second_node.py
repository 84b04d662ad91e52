"""A second node in another zone, added to the one that is up: for tests of what spreads over zones, and of losing one.

It is a kubelet and a containerd beside the first node's, with folders, ports, control groups and pod addresses of their
own. The rest, kube-proxy and the enforcer of policies too, serves all pods of the machine's network, whosever they are,
and volumes are folders that both nodes see.
"""

import signal
from pathlib import Path

import certificates
import node
import processes
import runtime
from locking import LOCK, exclusive
from node_identity import FIRST, NODES, SECOND
from progress import ClusterError, say, step
from settings import CACHE, PAUSE_IMAGE
from shell import kubectl

import network

PROCESSES = tuple(SECOND.process(name) for name in ("kubelet", "containerd"))
"""In the order in which they are stopped."""
ZONE = "topology.kubernetes.io/zone"
_CERTIFICATE = certificates.kubelet(SECOND)
_EVERYWHERE = ("--field-selector", f"spec.nodeName={SECOND.name}", "--all-namespaces")


def there() -> bool:
    """Whether there is one, lost or not."""
    return SECOND.state.exists()


def add(images: list[Path]) -> None:
    """Adds it with these images and no others, and gives both nodes a zone; or brings it back, once it was lost."""
    if not processes.is_running("kubelet"):
        raise ClusterError("the cluster is down; bring it up with: make cluster-up")
    with exclusive(LOCK), step(f"node {SECOND.name}"):
        for folder in (SECOND.state, SECOND.run, SECOND.configuration):
            folder.mkdir(parents=True, exist_ok=True)
        certificates.make_certificate(_CERTIFICATE)
        network.add_node(SECOND)
        processes.ensure(runtime.containerd(SECOND))
        if PAUSE_IMAGE not in runtime.image_digests(SECOND):
            runtime.load_image(CACHE / "images" / f"{PAUSE_IMAGE.rpartition('/')[2].replace(':', '-')}.tar", SECOND)
        runtime.load_images(images, SECOND)
        runtime.make_cgroup(SECOND)
        processes.ensure(node.kubelet(SECOND))
        kubectl("wait", "--for=create", f"node/{SECOND.name}", "--timeout=180s")
        kubectl("wait", "--for=condition=Ready", f"node/{SECOND.name}", "--timeout=180s")
        for each in NODES:
            kubectl("label", "node", each.name, f"{ZONE}={each.zone}", "--overwrite")
    say(f"node {SECOND.name} is in {SECOND.zone}, {FIRST.name} in {FIRST.zone}")


def lose() -> None:
    """Ends it without a word: what is sent to it is swallowed from one moment to the next, and everything is killed."""
    if not there():
        raise ClusterError(f"there is no node {SECOND.name}")
    with exclusive(LOCK), step(f"node {SECOND.name} is lost"):
        network.lose_node(SECOND)
        _kill()
        runtime.forget_memory(SECOND)


def forget() -> None:
    """What a cloud does when a machine is gone: its Node object goes, and so do the pods that were on it."""
    kubectl("delete", "node", SECOND.name, "--ignore-not-found", "--wait=false")
    kubectl("delete", "pods", *_EVERYWHERE, "--force", "--grace-period=0", "--wait=false")


def remove() -> None:
    """Removes it, its pods, and everything that it made; nothing when there is none."""
    if not there():
        return
    with exclusive(LOCK), step(f"node {SECOND.name} is removed"):
        _kill()
        forget()
        kubectl("label", "node", FIRST.name, f"{ZONE}-")
        network.remove_node(SECOND)
        runtime.remove_node(SECOND)
        certificates.remove_certificate(_CERTIFICATE)


def _kill() -> None:
    for name in PROCESSES:
        processes.stop(name, signal.SIGKILL)
    runtime.kill_everything(SECOND)
