"""Two hosts of IPv6 and a router between them, where rules of policies hold: network namespaces of this machine."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

RULES = Path(__file__).parent.parent / "cluster" / "policy_rules.py"
POD = "fd00:10:244::7"
_READY_S = 60.0
_LISTEN = """
import selectors, socket, sys
selector = selectors.DefaultSelector()
for word in sys.argv[1:]:
    kind = socket.SOCK_STREAM if word[:3] == "tcp" else socket.SOCK_DGRAM
    bound = socket.socket(socket.AF_INET6, kind)
    bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    bound.bind(("::", int(word[3:])))
    if kind == socket.SOCK_STREAM:
        bound.listen()
    selector.register(bound, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        if key.fileobj.type == socket.SOCK_STREAM:
            key.fileobj.accept()[0].close()
        else:  # the answer comes from the address that was asked
            data, ancillary, _, sender = key.fileobj.recvmsg(100, socket.CMSG_SPACE(20))
            key.fileobj.sendmsg([data], ancillary, 0, sender)
"""
_TRY = """
import socket, sys
kind = socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM
with socket.socket(socket.AF_INET6, kind) as asking:
    asking.settimeout(1)
    asking.bind((sys.argv[2], 0))
    try:
        asking.connect((sys.argv[3], int(sys.argv[4])))
        if sys.argv[1] == "udp":
            asking.send(b"1")
            asking.recv(1)
        print("reached")
    except OSError:
        print("blocked")
"""


def possible() -> bool:
    """Whether this machine lets us make them."""
    return os.geteuid() == 0 and all(shutil.which(each) for each in ("ip", "nft"))


class Flow(NamedTuple):
    """From one address to a port of another."""

    protocol: str
    source: str
    target: str
    port: int


@dataclass(frozen=True)
class Hosts:
    """A host that has the address of a pod, and one that has all others."""

    router: str
    pod: str
    others: str

    def enforce(self, pod: dict[str, Any], namespace: dict[str, Any], policies: Sequence[dict[str, Any]]) -> None:
        """The rules of these policies hold at the router; the host is `pod`."""
        pod = {**pod, "status": {**pod["status"], "podIPs": [{"ip": POD}]}}
        given = json.dumps({"pods": [pod], "namespaces": [namespace], "policies": policies})
        made = subprocess.run([sys.executable, RULES], input=given, capture_output=True, text=True, check=True)
        _run("ip", "netns", "exec", self.router, "nft", "-f", "-", stdin=made.stdout)

    def attempt(self, flow: Flow) -> str:
        """What becomes of a packet of the pod, or of one to it."""
        sender = self.pod if flow.source == POD else self.others
        arguments = (flow.protocol, flow.source, flow.target, str(flow.port))
        return _run("ip", "netns", "exec", sender, sys.executable, "-c", _TRY, *arguments).strip()


@contextlib.contextmanager
def hosts(addresses: Sequence[str], ports: Sequence[str]) -> Iterator[Hosts]:
    """Both listen at `ports` (`tcp5432`); one has `addresses`. Nothing is enforced between them yet."""
    name = f"ipv6-{uuid.uuid4().hex[:6]}"
    found = Hosts(f"{name}-r", f"{name}-p", f"{name}-o")
    with contextlib.ExitStack() as stack:
        for each in (found.router, found.pod, found.others):
            _run("ip", "netns", "add", each)
            stack.callback(_run, "ip", "netns", "delete", each)
            _run("ip", "-n", each, "link", "set", "lo", "up")
        _run("ip", "netns", "exec", found.router, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
        _connect(found.router, found.pod, "pod", [POD])
        _connect(found.router, found.others, "others", addresses)
        for each in (found.pod, found.others):
            stack.enter_context(_listening(each, ports))
        deadline = time.monotonic() + _READY_S
        port = next(int(each[3:]) for each in ports if each.startswith("tcp"))
        while (
            found.attempt(Flow("tcp", POD, addresses[0], port)) != "reached"
        ):  # the links have been there for a moment only
            assert time.monotonic() < deadline, "the hosts do not reach each other"
        yield found


def _connect(router: str, host: str, link: str, addresses: Sequence[str]) -> None:
    """As `ptp` does it: every packet is routed. Nobody is asked whether an address is somebody else's."""
    _run("ip", "-n", router, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", host)
    _run("ip", "-n", router, "address", "add", "fe80::1/64", "dev", link, "nodad")
    _run("ip", "-n", router, "link", "set", link, "up")
    _run("ip", "-n", host, "link", "set", "eth0", "up")
    for address in addresses:
        _run("ip", "-n", host, "address", "add", f"{address}/128", "dev", "eth0", "nodad")
        _run("ip", "-n", router, "route", "add", f"{address}/128", "dev", link)
    _run("ip", "-n", host, "route", "add", "default", "via", "fe80::1", "dev", "eth0")


@contextlib.contextmanager
def _listening(host: str, ports: Sequence[str]) -> Iterator[None]:
    command = ["ip", "netns", "exec", host, sys.executable, "-c", _LISTEN, *ports]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()


def _run(*command: str, stdin: str | None = None) -> str:
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=True).stdout
