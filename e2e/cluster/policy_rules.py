"""NetworkPolicies as an nftables ruleset: pure functions from what the API server holds to text for `nft -f`.

Every pod that a policy selects for a direction gets an element in that direction's verdict map, which jumps to a chain
shared by all pods under the same policies. In the chain, `return` means allowed; its last rule drops. A packet between
two pods is looked up twice, in the sender's egress rules and in the receiver's ingress rules. IPv6 has a table of its
own, once a pod has such an address.

Run as a program, it reads `{"pods": […], "namespaces": […], "policies": […]}`, as the API server shows
objects, and prints the ruleset.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network
from typing import Any, Literal

from label_selectors import matches

Direction = Literal["ingress", "egress"]

DIRECTIONS: tuple[Direction, ...] = ("ingress", "egress")
Network = IPv4Network | IPv6Network
_PROTOCOLS = ("tcp", "udp", "sctp")


@dataclass(frozen=True)
class Family:
    """What differs between the two kinds of addresses."""

    name: str
    """nftables' name of tables and matches."""
    everywhere: Network
    to_node: tuple[str, ...] = ()
    """What is let through to the node whatever policies say."""

    @property
    def address_type(self) -> str:
        """nftables' type of an address."""
        return f"ipv{self.everywhere.version}_addr"

    def address(self, pod: "Pod") -> str | None:
        """That of a pod, if it has one."""
        return next((each for each in pod.ips if ip_address(each).version == self.everywhere.version), None)


IPV4 = Family("ip", IPv4Network("0.0.0.0/0"))
IPV6 = Family(
    "ip6",
    IPv6Network("::/0"),
    # Nobody has a way to anywhere without knowing who is next on it.
    ("icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept",),
)


@dataclass(frozen=True)
class Pod:
    """What matters of a running pod with addresses of its own; `ports` by protocol and name."""

    namespace: str
    name: str
    ips: tuple[str, ...]
    labels: Mapping[str, str]
    ports: Mapping[tuple[str, str], int]

    @property
    def ip(self) -> str:
        """The only one of the family that rules are made for."""
        return self.ips[0]


@dataclass(frozen=True)
class Policy:
    """A NetworkPolicy; the lists of rules are the API's own."""

    namespace: str
    name: str
    selector: Mapping[str, Any]
    directions: frozenset[Direction]
    rules: Mapping[Direction, Sequence[Mapping[str, Any]]]

    def selects(self, pod: Pod) -> bool:
        """Whether the policy applies to a pod."""
        return pod.namespace == self.namespace and matches(self.selector, pod.labels)


@dataclass(frozen=True)
class State:
    """Everything that decisions are made from; `namespaces` are the labels of each."""

    pods: Sequence[Pod]
    namespaces: Mapping[str, Mapping[str, str]]
    policies: Sequence[Policy]
    family: Family = IPV4
    """That of the pods' only address."""


def parse_pod(item: Mapping[str, Any]) -> Pod | None:
    """A pod that has addresses of its own, and nothing for the others."""
    spec, status, metadata = item["spec"], item.get("status", {}), item["metadata"]
    ips = tuple(each["ip"] for each in status.get("podIPs") or ())
    if not ips or spec.get("hostNetwork") or status.get("phase") in {"Succeeded", "Failed"}:
        return None
    containers = [*spec["containers"], *spec.get("initContainers", [])]
    declared = [port for container in containers for port in container.get("ports", []) if "name" in port]
    ports = {(port.get("protocol", "TCP").lower(), port["name"]): port["containerPort"] for port in declared}
    return Pod(metadata["namespace"], metadata["name"], ips, metadata.get("labels", {}), ports)


def parse_policy(item: Mapping[str, Any]) -> Policy:
    """A policy; the API server has filled in its types."""
    spec, metadata = item["spec"], item["metadata"]
    types = {str(word).lower() for word in spec.get("policyTypes", ["Ingress"])}
    return Policy(
        metadata["namespace"],
        metadata["name"],
        spec.get("podSelector", {}),
        frozenset(direction for direction in DIRECTIONS if direction in types),
        {direction: spec.get(direction) or () for direction in DIRECTIONS},
    )


def parse_namespace(item: Mapping[str, Any]) -> tuple[str, Mapping[str, str]]:
    """A namespace's name and labels."""
    return item["metadata"]["name"], item["metadata"].get("labels", {})


def ruleset(state: State, table: str) -> str:
    """All tables, replaced in one transaction."""
    families = [IPV4, *([IPV6] if any(IPV6.address(pod) for pod in state.pods) else [])]
    return "".join(_table(_of_family(state, family), table) for family in families)


def _of_family(state: State, family: Family) -> State:
    """The same with those addresses only."""
    pods = [replace(pod, ips=(ip,)) for pod in state.pods if (ip := family.address(pod))]
    return replace(state, pods=pods, family=family)


def _table(state: State, table: str) -> str:
    family = state.family
    chains: list[str] = []
    maps: list[str] = []
    for direction in DIRECTIONS:
        groups = _groups(state, direction)
        for policies, pods in groups:
            chains.append(_chain(state, direction, policies, pods))
        jumps = sorted(
            f"{pod.ip} : jump {_chain_name(direction, policies)}" for policies, pods in groups for pod in pods
        )
        maps.append(_block(f"map {direction}", [f"type {family.address_type} : verdict", *_elements(jumps)]))
    # A pod cannot be kept from itself, which it reaches through a Service by way of the node.
    isolated = sorted({pod.ip for direction in DIRECTIONS for _, pods in _groups(state, direction) for pod in pods})
    pairs = _elements([f"{ip} . {ip}" for ip in isolated])
    itself = _block("set itself", [f"type {family.address_type} . {family.address_type}", *pairs])
    name = family.name
    forward = [
        "type filter hook forward priority filter - 10; policy accept",
        "ct state established,related accept",
        f"{name} saddr . {name} daddr @itself accept",
        f"{name} saddr vmap @egress",
        f"{name} daddr vmap @ingress",
    ]
    # What pods send to the node itself, where the API server is: their egress rules hold there too.
    to_node = [
        "type filter hook input priority filter - 10; policy accept",
        "ct state established,related accept",
        *family.to_node,
        f"{name} saddr vmap @egress",
    ]
    content = "\n".join([*chains, *maps, itself, _block("chain forward", forward), _block("chain input", to_node)])
    return f"table {name} {table} {{}}\ndelete table {name} {table}\ntable {name} {table} {{\n{content}\n}}\n"


def _groups(state: State, direction: Direction) -> list[tuple[tuple[Policy, ...], list[Pod]]]:
    """Pods that are isolated in a direction, by the policies that isolate them."""
    policies = [policy for policy in state.policies if direction in policy.directions]
    policies.sort(key=lambda policy: (policy.namespace, policy.name))
    groups: dict[tuple[str, ...], tuple[tuple[Policy, ...], list[Pod]]] = {}
    for pod in sorted(state.pods, key=lambda pod: (pod.namespace, pod.name)):
        selecting = tuple(policy for policy in policies if policy.selects(pod))
        if selecting:
            key = tuple(f"{policy.namespace}/{policy.name}" for policy in selecting)
            groups.setdefault(key, (selecting, []))[1].append(pod)
    return [groups[key] for key in sorted(groups)]


def _chain(state: State, direction: Direction, policies: Sequence[Policy], pods: Sequence[Pod]) -> str:
    lines: dict[str, None] = {}
    for policy in policies:
        for rule in policy.rules[direction]:
            lines.update(dict.fromkeys(_rule(state, direction, policy, rule, pods)))
    return _block(f"chain {_chain_name(direction, policies)}", [*lines, "counter drop"])


def _chain_name(direction: Direction, policies: Iterable[Policy]) -> str:
    names = ",".join(f"{policy.namespace}/{policy.name}" for policy in policies)
    return f"{direction}-{hashlib.sha256(names.encode()).hexdigest()[:16]}"


def _rule(
    state: State, direction: Direction, policy: Policy, rule: Mapping[str, Any], selected: Sequence[Pod]
) -> Iterator[str]:
    """Lines that let through what one rule allows to or from the pods that its policy selects."""
    networks = _peers(state, policy.namespace, rule.get("from" if direction == "ingress" else "to") or ())
    if not networks:
        return
    address = _address_match(state.family, "saddr" if direction == "ingress" else "daddr", networks)
    ports = rule.get("ports") or ()
    if not ports:
        yield f"{address}return"
        return
    # A port's name is its receiver's own.
    receivers = selected if direction == "ingress" else _within(networks, state.pods)
    for protocol in _PROTOCOLS:
        of_protocol = [port for port in ports if port.get("protocol", "TCP").lower() == protocol]
        for match in _port_matches(state.family, protocol, of_protocol, receivers):
            yield f"{address}{match} return"


def _port_matches(
    family: Family, protocol: str, ports: Sequence[Mapping[str, Any]], receivers: Sequence[Pod]
) -> Iterator[str]:
    """What a packet of one protocol must look like; a port without a number is every port."""
    if any("port" not in port for port in ports):
        yield f"meta l4proto {protocol}"
        return
    numbers = [_number_range(port) for port in ports if isinstance(port["port"], int)]
    if numbers:
        yield f"{protocol} dport {{ {', '.join(_merged(numbers))} }}"
    keys = [(protocol, port["port"]) for port in ports if isinstance(port["port"], str)]
    named = sorted({f"{pod.ip} . {pod.ports[key]}" for key in keys for pod in receivers if key in pod.ports})
    if named:
        yield f"{family.name} daddr . {protocol} dport {{ {', '.join(named)} }}"


def _peers(state: State, namespace: str, peers: Sequence[Mapping[str, Any]]) -> list[Network]:
    """Addresses of the other side of a rule. No peers named means everybody; peers that match nothing, nobody."""
    if not peers:
        return [state.family.everywhere]
    networks: list[Network] = []
    for peer in peers:
        if "ipBlock" in peer:
            networks += _block_networks(state.family, peer["ipBlock"])
        else:
            networks += [ip_network(pod.ip) for pod in state.pods if _is_peer(state, namespace, peer, pod)]
    return list(collapse_addresses(networks))


def _within(networks: Sequence[Network], pods: Sequence[Pod]) -> list[Pod]:
    return [pod for pod in pods if any(ip_address(pod.ip) in network for network in networks)]


def _is_peer(state: State, namespace: str, peer: Mapping[str, Any], pod: Pod) -> bool:
    """A namespaceSelector widens a peer to other namespaces; without one it is the policy's own."""
    selector = peer.get("namespaceSelector")
    if selector is None:
        inside = pod.namespace == namespace
    else:
        inside = matches(selector, state.namespaces.get(pod.namespace, {}))
    return inside and matches(peer.get("podSelector") or {}, pod.labels)


def _block_networks(family: Family, block: Mapping[str, Any]) -> list[Network]:
    """An address block without its exceptions; one of the other family matches nothing."""
    whole = ip_network(block["cidr"], strict=False)
    if whole.version != family.everywhere.version:
        return []
    networks = [whole]
    for text in block.get("except") or ():
        hole = ip_network(text, strict=False)
        networks = [part for network in networks for part in _without(network, hole)]
    return networks


def _without(network: Network, hole: Network) -> list[Network]:
    if hole.supernet_of(network):
        return []
    return list(network.address_exclude(hole)) if network.supernet_of(hole) else [network]


def _address_match(family: Family, field: str, networks: Sequence[Network]) -> str:
    if family.everywhere in networks:
        return ""
    listed = ", ".join(
        str(network.network_address if network.prefixlen == network.max_prefixlen else network) for network in networks
    )
    return f"{family.name} {field} {{ {listed} }} "


def _number_range(port: Mapping[str, Any]) -> tuple[int, int]:
    return port["port"], port.get("endPort", port["port"])


def _merged(ranges: Iterable[tuple[int, int]]) -> list[str]:
    """Ranges without overlaps, which nftables refuses."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return [str(first) if first == last else f"{first}-{last}" for first, last in merged]


def _elements(values: Sequence[str]) -> list[str]:
    return [f"elements = {{ {', '.join(values)} }}"] if values else []


def _block(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"  {title} {{", *(f"    {line}" for line in lines), "  }"])


def _main() -> None:
    given = json.load(sys.stdin)
    pods = [pod for item in given["pods"] if (pod := parse_pod(item))]
    namespaces = dict(parse_namespace(item) for item in given["namespaces"])
    print(ruleset(State(pods, namespaces, [parse_policy(item) for item in given["policies"]]), "kubelambda-policies"))


if __name__ == "__main__":
    _main()
