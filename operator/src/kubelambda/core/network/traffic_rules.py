"""What a set of subnets and groups allows, as the rules of a NetworkPolicy: pure (§10.1).

Groups say who may speak with whom, subnets whether there is a way: an address of the internet is reached only from a
subnet with internet, and a wide block such as 0.0.0.0/0 never stands for private ranges, which are named or not meant.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any, Final

from kubelambda.api import environment_protocol, labels
from kubelambda.api.kinds.security_group import GroupRule, Peer, SecurityGroupSpec

type Network = IPv4Network | IPv6Network
type PolicyRule = dict[str, Any]

_NAT64: Final = int(IPv6Address("64:ff9b::"))


def with_translated(networks: Iterable[Network]) -> tuple[Network, ...]:
    """Networks, and those of IPv4 by the addresses that a NAT64 gateway has for them."""
    found = tuple(networks)
    translated = (
        IPv6Network((_NAT64 | int(each.network_address), 96 + each.prefixlen)) for each in found if each.version == 4
    )
    return (*found, *translated)


PRIVATE: Final[tuple[Network, ...]] = with_translated(
    ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8",
                    "198.18.0.0/15", "240.0.0.0/4", "fc00::/7", "fe80::/10", "fec0::/10", "64:ff9b:1::/48", "::1/128")
)  # fmt: skip
"""Ranges that no NAT gateway leads to; clusters give pods of theirs addresses of 198.18.0.0/15 and 240.0.0.0/4, too."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What holds for every rule of a set."""

    internet: bool
    """Whether a subnet of it has the internet."""
    refused: Sequence[Network] = ()
    """Networks that no environment reaches, whatever a group says."""


def member_label(group: str) -> str:
    """Label of a group's members."""
    return f"{labels.SECURITY_GROUP}/{group}"


def egress_rules(groups: Iterable[SecurityGroupSpec], reach: Reach) -> list[PolicyRule]:
    """Where environments of a set may connect to."""
    found = []
    refused = with_translated(reach.refused)
    for group in groups:
        for rule in group.egress:
            peers = [peer for each in rule.to for peer in _egress_peers(each, refused, internet=reach.internet)]
            if peers:
                found.append({"to": peers, **_ports(rule)})
    return found


def ingress_rules(groups: Iterable[SecurityGroupSpec]) -> list[PolicyRule]:
    """Who may connect to environments of a set: to everything but the agent, which is the frontends' alone."""
    found = []
    for group in groups:
        for rule in group.ingress:
            ports = _around_the_agent(rule)
            if ports:
                found.append({"from": [_peer(each) for each in rule.from_], "ports": ports})
    return found


def _egress_peers(peer: Peer, refused: Sequence[Network], *, internet: bool) -> list[PolicyRule]:
    if peer.cidr is None:
        return [_peer(peer)]
    wanted = ip_network(peer.cidr, strict=False)
    inside = _among(wanted, PRIVATE)
    if _among(wanted, refused):
        return []
    if not inside and not internet:
        return []
    holes = _same_version(wanted, refused if inside else (*PRIVATE, *refused))
    within = sorted({str(hole) for hole in holes if hole.subnet_of(wanted)})
    return [{"ipBlock": {"cidr": str(wanted), **({"except": within} if within else {})}}]


def _peer(peer: Peer) -> PolicyRule:
    if peer.security_group is not None:
        return {"podSelector": {"matchLabels": {member_label(peer.security_group): ""}}}
    if peer.cidr is not None:
        return {"ipBlock": {"cidr": str(ip_network(peer.cidr, strict=False))}}
    found: PolicyRule = {"podSelector": {"matchLabels": dict(peer.pod_selector or {})}}
    if peer.namespace_selector is not None:
        found["namespaceSelector"] = {"matchLabels": dict(peer.namespace_selector)}
    return found


def _among(wanted: Network, networks: Iterable[Network]) -> bool:
    return any(wanted.subnet_of(network) for network in _same_version(wanted, networks))


def _same_version(wanted: Network, networks: Iterable[Network]) -> list[Any]:
    return [network for network in networks if network.version == wanted.version]


def _ports(rule: GroupRule) -> PolicyRule:
    """No ports at all is every port of every protocol."""
    if rule.ip_protocol == "-1":
        return {}
    protocol = rule.ip_protocol.upper()
    if rule.from_port is None or rule.to_port is None:
        return {"ports": [{"protocol": protocol}]}
    return {"ports": [_range(protocol, rule.from_port, rule.to_port)]}


def _around_the_agent(rule: GroupRule) -> list[PolicyRule]:
    first, last = rule.from_port or 1, rule.to_port or 65_535
    agent, found = environment_protocol.CONTROL_PORT, []
    if rule.ip_protocol in ("udp", "-1"):
        found.append(_range("UDP", first, last))
    if rule.ip_protocol in ("tcp", "-1"):
        parts = [(first, min(last, agent - 1)), (max(first, agent + 1), last)]
        found += [_range("TCP", low, high) for low, high in parts if low <= high]
    return found


def _range(protocol: str, first: int, last: int) -> PolicyRule:
    return {"protocol": protocol, "port": first, **({"endPort": last} if last > first else {})}
