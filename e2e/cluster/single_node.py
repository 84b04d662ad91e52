"""A single-node Kubernetes on this machine: every component a process or a pod, nothing pulled from a registry."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import addons
import archives
import binaries
import certificates
import control_plane
import debian
import endpoints
import equipment
import node
import processes
import runtime
import second_node
from locking import LOCK, exclusive
from node_identity import NODES
from progress import ClusterError, say, step
from settings import BINARIES, CACHE, CLUSTER, COREDNS_IMAGE, KUBECONFIG, PAUSE_IMAGE, STATE
from shell import kubectl, succeeds

import network

PROCESSES = (
    "storage-provisioner",
    "networkpolicy-enforcer",
    "kubelet",
    "proxy",
    "scheduler",
    "controller-manager",
    "apiserver",
    "etcd",
    "containerd",
)
"""In the order in which they are stopped."""


def up() -> None:
    """Brings the node up; on a running node, brings back what is missing."""
    debian.require_root()
    debian.install(debian.NODE_PACKAGES)
    binaries.build_kubernetes()
    binaries.install_tools((binaries.COREDNS_TOOL, *binaries.HELM_TOOLS))
    with exclusive(LOCK):
        STATE.mkdir(parents=True, exist_ok=True)
        certificates.make_certificates()
        network.set_up()
        processes.ensure(runtime.containerd())
        _load_own_images()
        for process in (control_plane.etcd(), control_plane.api_server()):
            processes.ensure(process)
        for process in (control_plane.controller_manager(), control_plane.scheduler(), node.kubelet()):
            processes.ensure(process)
        with step("node is registered"):
            _wait_for_registration()
        processes.ensure(node.proxy())  # it waits half a minute for a node that is not there yet
        with step("addons"):
            addons.apply_addons()
        for name in equipment.PROGRAMS:
            processes.ensure(equipment.process(name))
        with step("node and DNS are ready"):
            kubectl("wait", "--for=condition=Ready", f"node/{CLUSTER}", "--timeout=180s")
            addons.wait_for_addons()
    second_node.remove()  # a test that was killed left it, and what its images are not on would wait there for ever
    say(f"cluster is up: KUBECONFIG={KUBECONFIG}")


def down() -> None:
    """Takes the node down and removes everything it made outside the cache folder."""
    if not STATE.exists():
        say("no cluster on this machine")
        return
    debian.require_root()
    with exclusive(LOCK), step("cluster down"):
        for name in (*second_node.PROCESSES, *PROCESSES[:-1]):
            processes.stop(name, signal.SIGKILL)  # nothing that they could save is kept
        runtime.kill_everything(*NODES)
        processes.stop("containerd")
        network.tear_down()
        node.remove_leftovers()
        runtime.remove_files()
    LOCK.unlink(missing_ok=True)


def status() -> bool:
    """Prints what runs; whether all of it does."""
    if not STATE.exists():
        print("cluster: down")
        return False
    further = second_node.PROCESSES if second_node.there() else ()
    pids = {name: processes.pid_of(name) for name in reversed((*further, *PROCESSES))}
    for name, pid in pids.items():
        print(f"{name:24} {f'running, pid {pid}' if pid else 'NOT RUNNING'}")
    if control_plane.api_server_is_ready():
        print(kubectl("get", "nodes", "--output", "wide"), end="")
        print(kubectl("get", "pods", "--all-namespaces"), end="")
    print(f"logs: {STATE / 'logs'}")
    return all(pids.values())


def pause(name: str) -> None:
    """Stops one component where it is, as a machine that is far too busy does."""
    _signal(name, signal.SIGSTOP)


def resume(name: str) -> None:
    """Lets a component go on that was paused."""
    _signal(name, signal.SIGCONT)


def _signal(name: str, number: signal.Signals) -> None:
    pid = processes.pid_of(name)
    if pid is None:
        raise ClusterError(f"{name!r} does not run")
    os.kill(pid, number)


def restart(name: str) -> None:
    """Kills one component, as a crash would, and starts it again; says how long it was away."""
    makers: dict[str, Callable[[], processes.Process]] = {
        "containerd": runtime.containerd,
        "etcd": control_plane.etcd,
        "apiserver": control_plane.api_server,
        "controller-manager": control_plane.controller_manager,
        "scheduler": control_plane.scheduler,
        "proxy": node.proxy,
        "kubelet": node.kubelet,
        **{name: partial(equipment.process, name) for name in equipment.PROGRAMS},
    }
    if name not in makers:
        raise ClusterError(f"{name!r} is not a component; there are: {', '.join(makers)}")
    with exclusive(LOCK):
        started = time.monotonic()
        processes.stop(name, signal.SIGKILL)
        processes.ensure(makers[name]())
    say(f"{name} was away for {time.monotonic() - started:.1f}s")


def load(archives_of_images: list[Path]) -> None:
    """Imports those images that the node does not have yet."""
    if not processes.is_running("containerd"):
        raise ClusterError("the cluster is down; bring it up with: make cluster-up")
    runtime.load_images(archives_of_images)


def endpoint(namespace: str, service: str) -> str:
    """URL of a Service; the node shares its network with the machine, so the cluster IP answers."""
    return endpoints.cluster_url(endpoints.find_service(kubectl, namespace, service))


def _load_own_images() -> None:
    """The two images that the node itself needs, made here and kept in the cache."""
    there = runtime.image_digests()
    for image, user in ((PAUSE_IMAGE, "65535:65535"), (COREDNS_IMAGE, "")):
        if image in there:
            continue
        with step(f"image {image}"):
            archive = CACHE / "images" / f"{image.rpartition('/')[2].replace(':', '-')}.tar"
            program = BINARIES / image.rpartition("/")[2].partition(":")[0]
            if image == PAUSE_IMAGE and not program.exists():
                archives.compile_pause(program)
            archives.pack_program(program, image=image, user=user, archive=archive)
            runtime.load_image(archive)


def _wait_for_registration() -> None:
    command = (BINARIES / "kubectl", "--kubeconfig", KUBECONFIG, "get", "node", CLUSTER)
    if not processes.until(lambda: succeeds(*command), 180, 0.2):
        raise ClusterError(f"the kubelet did not register the node; see {STATE / 'logs' / 'kubelet.log'}")
