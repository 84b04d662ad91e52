"""The functions and pods between which flows are tried: each listens, and each tries many flows at once."""

import json
import socket
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from installation.account import Account
from installation.kubectl import kubectl, kubectl_json
from installation.peers import pod_manifest
from installation.release import RELEASE, SYSTEM_NAMESPACE
from network.flow_table import FUNCTIONS, PODS, Flow, groups, subnet

INTERNET = "203.0.113.1"
"""An address of the test cluster's node that is in no private range: reserved for documentation, and nobody else's."""
_INTERNET_PORT = 8443
_PRIVATE = {"subnetIds": ["private"]}
_NETWORKS: Mapping[str, dict[str, list[str]]] = {
    "bare": {**_PRIVATE, "securityGroupIds": ["bare"]},
    "app": {**_PRIVATE, "securityGroupIds": ["app"]},
    "public": {"subnetIds": ["outside"], "securityGroupIds": ["anywhere"]},
    "left": {**_PRIVATE, "securityGroupIds": ["ring"]},
    "right": {**_PRIVATE, "securityGroupIds": ["ring"]},
}
USERS = "flows"
"""Label of the users' pods."""
_POD_LABELS = {
    "db": {"security-group.kubelambda.dev/db": "", USERS: ""},
    "plain": {"app": "plain", USERS: ""},
    "postgres": {"app": "postgres", USERS: ""},
    "far-postgres": {"app": "postgres", USERS: ""},
    "far-plain": {"app": "plain", USERS: ""},
}
_PROBE = """
import json, socket, sys, threading, time
from concurrent.futures import ThreadPoolExecutor

QUESTION = bytes.fromhex("0001010000010000000000000000020001")  # the name servers of the root

def serve(port):
    listener = socket.create_server(("", port))
    while True:
        listener.accept()[0].close()

def echo(port):
    answering = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    answering.bind(("", port))
    while True:
        data, sender = answering.recvfrom(512)
        answering.sendto(data, sender)

def listen(*ports):
    for port in ports:
        for work in (serve, echo):
            threading.Thread(target=work, args=(port,), daemon=True).start()

def attempt(protocol, host, port, seconds=2.0):
    try:
        if protocol == "tcp":
            socket.create_connection((host, port), timeout=seconds).close()
            return "reached"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((host, port))
            asking.settimeout(seconds / 4)
            for _ in range(4):
                asking.send(QUESTION)
                try:
                    asking.recv(512)
                    return "reached"
                except TimeoutError:
                    pass
        return "blocked"
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "blocked"

def tried(flows):
    with ThreadPoolExecutor(len(flows)) as pool:
        return list(pool.map(lambda flow: attempt(*flow), flows))
"""
_FUNCTION = (
    _PROBE
    + """
listen(7000, 7001, 7002, 7003)

def watch(protocol, host, port, until, seconds):
    end, since, count = time.time() + seconds, 0.0, 0
    while time.time() < end:
        now = time.time()
        since, count = (since or now, count + 1) if attempt(protocol, host, port, 0.05) == until else (0.0, 0)
        if count == 3:
            return since
        time.sleep(0.002)

def handler(event, context):
    return watch(**event["watch"]) if "watch" in event else tried(event["flows"])
"""
)
_POD = _PROBE + "\nlisten(5432, 5433, 5434, 5999, 6000, 6001, 6002, 6003)\nthreading.Event().wait()\n"
_ASK = _PROBE + "\nprint(json.dumps(tried(json.loads(sys.argv[1]))))\n"


@dataclass(frozen=True)
class Peers:
    """Everything that flows begin and end at."""

    account: Account
    other: Account
    addresses: Mapping[str, str]
    """By the names of targets. What there is none of here is missing."""

    def tried(self, flows: Iterable[Flow]) -> dict[str, str]:
        """What became of each flow, by its name; all functions and pods try theirs at the same time."""
        by_source: defaultdict[str, list[Flow]] = defaultdict(list)
        for flow in flows:
            by_source[flow.source].append(flow)
        with ThreadPoolExecutor(len(by_source)) as pool:
            answers = list(pool.map(lambda item: self._tried(*item), by_source.items()))
        return {name: verdict for answer in answers for name, verdict in answer.items()}

    def watch(self, flow: Flow, until: str, *, seconds: float = 120) -> float | None:
        """When, by the machine's clock, a function saw `until` for the first of three times; None: it did not."""
        watched = {"protocol": flow.protocol, "host": self.addresses[flow.target], "port": flow.port}
        event = {"watch": {**watched, "until": until, "seconds": seconds}}
        found: float | None = self.account.invoke(flow.source, event)["Payload"]
        return found

    def _tried(self, source: str, flows: list[Flow]) -> dict[str, str]:
        wanted = [(flow.protocol, self.addresses[flow.target], flow.port) for flow in flows]
        if source in FUNCTIONS:
            verdicts = self.account.invoke(source, {"flows": wanted})["Payload"]
        else:
            space = ("--namespace", _account_of(source, self.account, self.other).namespace)
            command = ("exec", source, "--", "/usr/bin/python3", "-c", _ASK, json.dumps(wanted))
            verdicts = json.loads(kubectl(*space, *command))
        return {flow.name: verdict for flow, verdict in zip(flows, verdicts, strict=True)}


def _account_of(pod: str, account: Account, other: Account) -> Account:
    return other if pod.startswith("far-") else account


def start_pods(account: Account, other: Account) -> dict[str, str]:
    """Makes the users' pods; returns their addresses once they run."""
    homes = {each.namespace: [name for name in PODS if _account_of(name, account, other) is each]
             for each in (account, other)}  # fmt: skip
    for namespace, names in homes.items():
        _apply(namespace, [pod_manifest(name, _POD_LABELS[name], _POD) for name in names])
    found = {}
    for namespace in homes:
        selected = ("--namespace", namespace, "--selector", USERS)
        kubectl("wait", "--for=condition=Ready", "pods", *selected, "--timeout=150s", timeout=180)
        pods = kubectl_json("get", "pods", *selected)["items"]
        found |= {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in pods}
    return found


def start_functions(account: Account) -> dict[str, str]:
    """Makes the functions, whose subnets and groups are there, and an environment of each; returns their addresses."""
    _apply(account.namespace, [_function(name) for name in FUNCTIONS])
    space = ("--namespace", account.namespace)
    kubectl(*space, "wait", "--for=condition=Ready", "functions", "--all", "--timeout=150s", timeout=180)
    with ThreadPoolExecutor(len(FUNCTIONS)) as pool:
        list(pool.map(lambda name: account.invoke(name, {"flows": [["tcp", "127.0.0.1", 7000]]}), FUNCTIONS))
    return {name: account.environment(name)["status"]["podIP"] for name in FUNCTIONS}


def _function(name: str) -> dict[str, Any]:
    spec = {"runtime": "python3.13", "handler": "index.handler", "code": {"inline": _FUNCTION}}
    sizes = {"timeout": 180, "memorySize": 512}
    network = {"vpcConfig": _NETWORKS[name]} if name in _NETWORKS else {}
    return {"kind": "Function", "metadata": {"name": name}, "spec": {**spec, **sizes, **network}}


def _apply(namespace: str, manifests: list[dict[str, Any]]) -> None:
    """All at once."""
    items = [{"apiVersion": "kubelambda.dev/v1alpha1", **manifest} for manifest in manifests]
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    kubectl("--namespace", namespace, "apply", "--filename", "-", stdin=json.dumps(listed))


def addresses_of_the_cluster() -> dict[str, str]:
    """What is there without us."""
    slices = kubectl_json("--namespace", "default", "get", "endpointslices", "kubernetes")
    resolvers = kubectl_json("--namespace", "kube-system", "get", "pods", "--selector", "k8s-app=kube-dns")["items"]
    return {
        "API server": slices["endpoints"][0]["addresses"][0],
        "API service": cluster_ip("default", "kubernetes"),
        "dns": cluster_ip("kube-system", "kube-dns"),
        "resolver": resolvers[0]["status"]["podIP"],
        "frontend": cluster_ip(SYSTEM_NAMESPACE, f"{RELEASE}-frontend"),
        "code store": cluster_ip(SYSTEM_NAMESPACE, f"{RELEASE}-code-store"),
        "event queue": cluster_ip(SYSTEM_NAMESPACE, f"{RELEASE}-events"),
        "metadata": "169.254.169.254",
    }


def cluster_ip(namespace: str, service: str) -> str:
    """Address of a Service."""
    found: str = kubectl_json("--namespace", namespace, "get", "service", service)["spec"]["clusterIP"]
    return found


@contextmanager
def flow_peers(account: Account, other: Account) -> Iterator[Peers]:
    """All of them, and the rules as they are at first."""
    with internet() as outside:
        pods = start_pods(account, other)
        parts = [subnet("private", internet=False), subnet("outside", internet=True)]
        _apply(account.namespace, [*parts, *groups(pods["plain"], other.namespace)])
        functions = start_functions(account)
        try:
            yield Peers(account, other, {**addresses_of_the_cluster(), **pods, **functions, **outside})
        finally:
            for each in (account, other):
                kubectl("--namespace", each.namespace, "delete", "pods", "--selector", USERS, "--wait=false")


@contextmanager
def internet() -> Iterator[dict[str, str]]:
    """A listener that is nobody's private address; none on machines whose node has no such address."""
    try:
        listener = socket.create_server((INTERNET, _INTERNET_PORT))
    except OSError:
        yield {}
        return

    def serve() -> None:
        with suppress(OSError):
            while True:
                listener.accept()[0].close()

    threading.Thread(target=serve, daemon=True).start()
    with listener:
        yield {"internet": INTERNET}
        # Wakes the thread up, which would go on listening.
        listener.shutdown(socket.SHUT_RDWR)
