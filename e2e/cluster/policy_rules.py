"""NetworkPolicies as an nftables ruleset: pure functions from what the API server holds to text for `nft -f`.

Every pod that a policy selects for a direction gets an element in that direction's verdict map, which jumps to a chain
shared by all pods under the same policies. In the chain, `return` means allowed; its last rule drops. A packet between
two pods is looked up twice, in the sender's egress rules and in the receiver's ingress rules.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from typing import Any, Literal

from label_selectors import matches

Direction = Literal["ingress", "egress"]

DIRECTIONS: tuple[Direction, ...] = ("ingress", "egress")
EVERYWHERE = IPv4Network("0.0.0.0/0")
_PROTOCOLS = ("tcp", "udp", "sctp")


@dataclass(frozen=True)
class Pod:
    """What matters of a running pod with an address of its own; `ports` by protocol and name."""

    namespace: str
    name: str
    ip: str
    labels: Mapping[str, str]
    ports: Mapping[tuple[str, str], int]


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


def parse_pod(item: Mapping[str, Any]) -> Pod | None:
    """A pod that has an address of its own, and nothing for the others."""
    spec, status, metadata = item["spec"], item.get("status", {}), item["metadata"]
    ip = status.get("podIP", "")
    if not ip or ":" in ip or spec.get("hostNetwork") or status.get("phase") in {"Succeeded", "Failed"}:
        return None
    containers = [*spec["containers"], *spec.get("initContainers", [])]
    declared = [port for container in containers for port in container.get("ports", []) if "name" in port]
    ports = {(port.get("protocol", "TCP").lower(), port["name"]): port["containerPort"] for port in declared}
    return Pod(metadata["namespace"], metadata["name"], ip, metadata.get("labels", {}), ports)


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


def ruleset(state: State, table: str) -> str:
    """The whole table, replaced in one transaction."""
    chains: list[str] = []
    maps: list[str] = []
    for direction in DIRECTIONS:
        groups = _groups(state, direction)
        for policies, pods in groups:
            chains.append(_chain(state, direction, policies, pods))
        jumps = sorted(
            f"{pod.ip} : jump {_chain_name(direction, policies)}" for policies, pods in groups for pod in pods
        )
        maps.append(_block(f"map {direction}", ["type ipv4_addr : verdict", *_elements(jumps)]))
    # A pod cannot be kept from itself, which it reaches through a Service by way of the node.
    isolated = sorted({pod.ip for direction in DIRECTIONS for _, pods in _groups(state, direction) for pod in pods})
    itself = _block("set itself", ["type ipv4_addr . ipv4_addr", *_elements([f"{ip} . {ip}" for ip in isolated])])
    forward = [
        "type filter hook forward priority filter - 10; policy accept",
        "ct state established,related accept",
        "ip saddr . ip daddr @itself accept",
        "ip saddr vmap @egress",
        "ip daddr vmap @ingress",
    ]
    # What pods send to the node itself, where the API server is: their egress rules hold there too.
    to_node = [
        "type filter hook input priority filter - 10; policy accept",
        "ct state established,related accept",
        "ip saddr vmap @egress",
    ]
    content = "\n".join([*chains, *maps, itself, _block("chain forward", forward), _block("chain input", to_node)])
    return f"table ip {table} {{}}\ndelete table ip {table}\ntable ip {table} {{\n{content}\n}}\n"


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
    address = _address_match("saddr" if direction == "ingress" else "daddr", networks)
    ports = rule.get("ports") or ()
    if not ports:
        yield f"{address}return"
        return
    # A port's name is its receiver's own.
    receivers = selected if direction == "ingress" else _within(networks, state.pods)
    for protocol in _PROTOCOLS:
        of_protocol = [port for port in ports if port.get("protocol", "TCP").lower() == protocol]
        for match in _port_matches(protocol, of_protocol, receivers):
            yield f"{address}{match} return"


def _port_matches(protocol: str, ports: Sequence[Mapping[str, Any]], receivers: Sequence[Pod]) -> Iterator[str]:
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
        yield f"ip daddr . {protocol} dport {{ {', '.join(named)} }}"


def _peers(state: State, namespace: str, peers: Sequence[Mapping[str, Any]]) -> list[IPv4Network]:
    """Addresses of the other side of a rule. No peers named means everybody; peers that match nothing, nobody."""
    if not peers:
        return [EVERYWHERE]
    networks: list[IPv4Network] = []
    for peer in peers:
        if "ipBlock" in peer:
            networks += _block_networks(peer["ipBlock"])
        else:
            networks += [IPv4Network(pod.ip) for pod in state.pods if _is_peer(state, namespace, peer, pod)]
    return list(collapse_addresses(networks))


def _within(networks: Sequence[IPv4Network], pods: Sequence[Pod]) -> list[Pod]:
    return [pod for pod in pods if any(IPv4Address(pod.ip) in network for network in networks)]


def _is_peer(state: State, namespace: str, peer: Mapping[str, Any], pod: Pod) -> bool:
    """A namespaceSelector widens a peer to other namespaces; without one it is the policy's own."""
    selector = peer.get("namespaceSelector")
    if selector is None:
        inside = pod.namespace == namespace
    else:
        inside = matches(selector, state.namespaces.get(pod.namespace, {}))
    return inside and matches(peer.get("podSelector") or {}, pod.labels)


def _block_networks(block: Mapping[str, Any]) -> list[IPv4Network]:
    """An address block without its exceptions; IPv6 blocks match nothing in a cluster of IPv4."""
    if ":" in block["cidr"]:
        return []
    networks = [IPv4Network(block["cidr"], strict=False)]
    for text in block.get("except") or ():
        hole = IPv4Network(text, strict=False)
        networks = [part for network in networks for part in _without(network, hole)]
    return networks


def _without(network: IPv4Network, hole: IPv4Network) -> list[IPv4Network]:
    if hole.supernet_of(network):
        return []
    return list(network.address_exclude(hole)) if network.supernet_of(hole) else [network]


def _address_match(field: str, networks: Sequence[IPv4Network]) -> str:
    if EVERYWHERE in networks:
        return ""
    listed = ", ".join(
        str(network.network_address) if network.prefixlen == 32 else str(network) for network in networks
    )
    return f"ip {field} {{ {listed} }} "


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
