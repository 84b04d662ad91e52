"""Which packets pass: every flow that is tried, what becomes of it, and what after a change of the rules (§10.1)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

REACHED = "reached"
BLOCKED = "blocked"


@dataclass(frozen=True)
class Flow:
    """A connection, or a datagram and its echo, from a function or a pod to something."""

    source: str
    target: str
    protocol: str
    port: int
    before: str
    after: str
    """Once the rules are changed."""

    @property
    def name(self) -> str:
        """As it is reported."""
        return f"{self.source} → {self.target} {self.protocol}/{self.port}"


FUNCTIONS = {
    "open": "a function without a vpcConfig",
    "bare": "of a group without rules",
    "app": "of the group whose rules change",
    "public": "of a group that allows 0.0.0.0/0, in a subnet with `internet: true`, afterwards `false`",
    "left": "of the group `ring`, which names itself",
    "right": "as `left`",
}
PODS = {
    "db": "a user's pod, by its label a member of the group `db`",
    "plain": "a user's pod",
    "postgres": "a user's pod with the label `app: postgres`",
    "far-postgres": "the same in another namespace",
    "far-plain": "a user's pod in that namespace",
}
OTHERS = {
    "internet": "an address that is in no private range",
    "dns": "the Service of the cluster's resolvers",
    "resolver": "a resolver's pod: its port for probes",
    "frontend": "the Service that functions are invoked by",
    "code store": "what archives of code are read from",
    "event queue": "what keeps asynchronous invocations",
    "API server": "Kubernetes', at its own address",
    "API service": "Kubernetes', at its Service",
    "metadata": "the address of clouds' metadata",
}
_TABLE = """
open    db            tcp  5432   reached reached
open    plain         tcp  5434   reached reached
open    plain         udp  5432   reached reached
open    far-plain     tcp  5432   reached reached
open    internet      tcp  8443   reached reached
open    resolver      tcp  8181   reached reached
open    dns           udp  53     reached reached
open    frontend      tcp  80     reached reached
open    app           tcp  7000   blocked blocked
open    app           tcp  9010   blocked blocked
open    event_queue   tcp  8080   blocked blocked
open    API_server    tcp  6443   blocked blocked
open    API_service   tcp  443    blocked blocked
open    metadata      tcp  80     blocked blocked

bare    dns           udp  53     reached reached
bare    dns           tcp  53     reached reached
bare    code_store    tcp  8080   reached reached
bare    resolver      tcp  8181   blocked blocked
bare    db            tcp  5432   blocked blocked
bare    plain         udp  5432   blocked blocked
bare    far-plain     tcp  5432   blocked blocked
bare    left          tcp  7000   blocked blocked
bare    frontend      tcp  80     blocked blocked
bare    internet      tcp  8443   blocked blocked
bare    API_server    tcp  6443   blocked blocked
bare    metadata      tcp  80     blocked blocked

app     dns           udp  53     reached reached
app     dns           tcp  53     reached reached
app     db            tcp  5432   reached blocked
app     db            tcp  5433   blocked reached
app     db            udp  5432   reached blocked
app     db            udp  5433   blocked reached
app     plain         tcp  5432   blocked blocked
app     plain         tcp  5434   reached blocked
app     plain         udp  5434   blocked blocked
app     postgres      tcp  5999   blocked blocked
app     postgres      tcp  6000   reached blocked
app     postgres      tcp  6001   reached reached
app     postgres      tcp  6002   reached blocked
app     postgres      tcp  6003   blocked blocked
app     postgres      tcp  5433   blocked reached
app     far-postgres  tcp  5433   reached blocked
app     far-postgres  tcp  6000   blocked blocked
app     far-plain     tcp  5433   blocked blocked
app     left          tcp  7000   blocked reached
app     open          tcp  7000   blocked blocked
app     internet      tcp  8443   blocked blocked
app     frontend      tcp  80     blocked blocked
app     event_queue   tcp  8080   blocked blocked
app     API_server    tcp  6443   blocked blocked
app     API_service   tcp  443    blocked blocked
app     metadata      tcp  80     blocked blocked

public  internet      tcp  8443   reached blocked
public  plain         tcp  5432   blocked blocked
public  API_server    tcp  6443   blocked blocked
public  metadata      tcp  80     blocked blocked

left    right         tcp  7000   reached reached
left    right         tcp  7001   reached blocked
left    right         udp  7000   reached blocked
left    right         tcp  9010   blocked blocked
left    app           tcp  7000   blocked blocked
right   left          tcp  7000   reached reached
right   left          udp  7001   reached blocked

db            app     tcp  7000   reached blocked
db            app     tcp  7001   blocked reached
db            app     udp  7000   blocked blocked
db            left    tcp  7000   blocked blocked
postgres      app     tcp  7001   reached blocked
postgres      app     tcp  7002   reached blocked
postgres      app     tcp  7003   blocked blocked
plain         app     tcp  7000   blocked blocked
plain         app     tcp  9010   blocked blocked
plain         open    tcp  7000   blocked blocked
far-postgres  app     tcp  7001   blocked blocked
"""


def flows() -> list[Flow]:
    """All of them."""
    rows = [line.split() for line in _TABLE.splitlines() if line]
    return [
        Flow(source, target.replace("_", " "), protocol, int(port), before, after)
        for source, target, protocol, port, before, after in rows
    ]


def groups(plain: str, other_namespace: str) -> list[dict[str, Any]]:
    """The groups at first; `plain` is the address of that pod."""
    far = {"kubernetes.io/metadata.name": other_namespace}
    return [
        _group("bare"),
        _group("db"),
        _group("anywhere", egress=[_to(None, {"cidr": "0.0.0.0/0"})]),
        _group("ring", egress=[_to(None, _members("ring"))], ingress=[_from(None, _members("ring"))]),
        _group(
            "app",
            egress=[
                _to("tcp 5432", _members("db")),
                _to("udp 5432", _members("db")),
                _to("tcp 6000-6002", {"podSelector": {"app": "postgres"}}),
                _to("tcp 5433", {"podSelector": {"app": "postgres"}, "namespaceSelector": far}),
                _to("tcp 5434", {"cidr": f"{plain}/32"}),
                _to("tcp 7000", _members("ring")),
                # No way leads there: not from this subnet, and not in a cluster of IPv4.
                _to("tcp 8443", {"cidr": "203.0.113.0/24"}),
                _to(None, {"cidr": "2001:db8::/32"}),
            ],
            ingress=[_from("tcp 7000", _members("db")), _from("tcp 7001-7002", {"podSelector": {"app": "postgres"}})],
        ),
    ]


def changed_groups() -> list[dict[str, Any]]:
    """Those that are others afterwards."""
    ring = [_from(None, _members("ring")), _from("tcp 7000", _members("app"))]
    return [
        _group("ring", egress=[_to("tcp 7000", _members("ring"))], ingress=ring),
        _group(
            "app",
            egress=[
                _to("tcp 5433", _members("db")),
                _to("udp 5433", _members("db")),
                _to("tcp 6001", {"podSelector": {"app": "postgres"}}),
                _to("tcp 5433", {"podSelector": {"app": "postgres"}}),
                _to("tcp 7000", _members("ring")),
                _to("tcp 8443", {"cidr": "203.0.113.0/24"}),
            ],
            ingress=[_from("tcp 7001", _members("db"))],
        ),
    ]


def subnet(name: str, *, internet: bool) -> dict[str, Any]:
    """A Subnet."""
    return {"kind": "Subnet", "metadata": {"name": name}, "spec": {"internet": internet}}


def _group(name: str, **rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": "SecurityGroup", "metadata": {"name": name}, "spec": rules}


def _members(group: str) -> dict[str, Any]:
    return {"securityGroup": group}


def _to(ports: str | None, *peers: dict[str, Any]) -> dict[str, Any]:
    return {**_ports(ports), "to": list(peers)}


def _from(ports: str | None, *peers: dict[str, Any]) -> dict[str, Any]:
    return {**_ports(ports), "from": list(peers)}


def _ports(text: str | None) -> dict[str, Any]:
    if text is None:
        return {"ipProtocol": "-1"}
    protocol, ports = text.split()
    first, _, last = ports.partition("-")
    return {"ipProtocol": protocol, "fromPort": int(first), "toPort": int(last or first)}


def table(tried: Iterable[Flow]) -> str:
    """The flows as a document has them."""
    rows = [f"| {flow.source} | {flow.target} | {flow.protocol} {flow.port} | {flow.before} | {_changed(flow)} |"
            for flow in tried]  # fmt: skip
    return "\n".join(["| from | to | port | at first | after the change |", "|---|---|---|---|---|", *rows])


def _changed(flow: Flow) -> str:
    return flow.after if flow.after == flow.before else f"**{flow.after}**"
