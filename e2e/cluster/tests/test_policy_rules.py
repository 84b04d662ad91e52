"""What NetworkPolicies become as nftables rules."""

import shutil
import subprocess
from typing import Any

import pytest
from policy_rules import Policy, State, parse_pod, parse_policy, ruleset


def pod(
    name: str, ip: str, *, namespace: str = "a", ports: dict[str, int] | None = None, **status: Any
) -> dict[str, Any]:
    """A pod as the API server shows it."""
    declared = [{"name": key, "containerPort": number} for key, number in (ports or {}).items()]
    return {
        "metadata": {"namespace": namespace, "name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "ports": declared}]},
        "status": {"phase": "Running", "podIPs": [{"ip": ip}] if ip else [], **status},
    }


PODS = [
    pod("server", "10.0.0.1", ports={"web": 80}),
    pod("client", "10.0.0.2"),
    pod("guest", "10.0.0.3", namespace="b"),
]
NAMESPACES = {"a": {"team": "a"}, "b": {"team": "b"}}


def policy(**spec: Any) -> Policy:
    """A policy for the pod `server` in the namespace `a`."""
    spec = {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"], **spec}
    return parse_policy({"metadata": {"namespace": "a", "name": "policy"}, "spec": spec})


def rules(*policies: Policy, pods: list[dict[str, Any]] | None = None) -> str:
    """The ruleset; nft itself must accept it where it is at hand."""
    parsed = [found for item in pods or PODS if (found := parse_pod(item))]
    text = ruleset(State(parsed, NAMESPACES, policies), "kubelambda-test")
    if shutil.which("nft"):
        checked = subprocess.run(["nft", "--check", "-f", "-"], input=text, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
    return text


def allowed(*policies: Policy) -> list[str]:
    """The lines of the only chain that let something through."""
    return [line.strip().removesuffix(" return") for line in rules(*policies).splitlines() if line.endswith(" return")]


def test_pods_without_policies_are_left_alone() -> None:
    """No chain, no element."""
    assert "drop" not in rules()


def test_a_selected_pod_is_closed_in_that_direction_only() -> None:
    """A policy without rules drops everything to the pod and nothing from it."""
    text = rules(policy())
    assert "elements = { 10.0.0.1 : jump ingress-" in text
    assert "jump egress-" not in text
    assert text.count("counter drop") == 1


@pytest.mark.parametrize(
    ("peer", "match"),
    [
        ({"podSelector": {"matchLabels": {"app": "client"}}}, "ip saddr { 10.0.0.2 }"),
        ({"podSelector": {}}, "ip saddr { 10.0.0.1, 10.0.0.2 }"),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, "ip saddr { 10.0.0.3 }"),
        (
            {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}},
            "ip saddr { 10.0.0.3 }",
        ),
        ({"ipBlock": {"cidr": "10.1.0.0/16"}}, "ip saddr { 10.1.0.0/16 }"),
        ({"ipBlock": {"cidr": "10.1.0.0/30", "except": ["10.1.0.0/31"]}}, "ip saddr { 10.1.0.2/31 }"),
    ],
)
def test_peers_become_addresses(peer: dict[str, Any], match: str) -> None:
    """Selectors are resolved to the pods of now; address blocks stay blocks."""
    lines = allowed(policy(ingress=[{"from": [peer]}]))
    assert len(lines) == 1
    assert sorted(lines[0].split(", ")) == sorted(match.split(", ")) or lines[0] == match


def test_a_rule_whose_peers_match_nothing_allows_nothing() -> None:
    """No pod, no line; an empty list of peers would have meant everybody."""
    assert allowed(policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "nobody"}}}]}])) == []


@pytest.mark.parametrize(
    ("ports", "matches"),
    [
        ([{"port": 80}], ["tcp dport { 80 }"]),
        ([{"port": 80}, {"port": 81, "endPort": 90}, {"port": 85}], ["tcp dport { 80-90 }"]),
        ([{"port": 53, "protocol": "UDP"}], ["udp dport { 53 }"]),
        ([{"protocol": "UDP"}], ["meta l4proto udp"]),
        ([{"port": "web"}], ["ip daddr . tcp dport { 10.0.0.1 . 80 }"]),
        ([{"port": "unknown"}], []),
    ],
)
def test_ports_become_matches(ports: list[dict[str, Any]], matches: list[str]) -> None:
    """Numbers, ranges without overlaps, protocols, and names as the receiver declares them."""
    assert allowed(policy(ingress=[{"ports": ports}])) == matches


def test_names_of_egress_ports_are_those_of_the_peer() -> None:
    """The pod that is called says what its port's name means, also when it is named by address."""
    selecting = {"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Egress"]}
    by_block = policy(**selecting, egress=[{"to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}], "ports": [{"port": "web"}]}])
    assert allowed(by_block) == ["ip daddr { 10.0.0.0/24 } ip daddr . tcp dport { 10.0.0.1 . 80 }"]


def test_policies_add_up() -> None:
    """A pod under two policies is reached by what either allows."""
    first, second = policy(ingress=[{"ports": [{"port": 80}]}]), policy(ingress=[{"ports": [{"port": 81}]}])
    renamed = Policy("a", "second", second.selector, second.directions, second.rules)
    assert allowed(first, renamed) == ["tcp dport { 80 }", "tcp dport { 81 }"]


@pytest.mark.parametrize("status", [{"podIPs": []}, {"phase": "Succeeded"}, {"phase": "Failed"}])
def test_pods_without_an_address_of_their_own_do_not_count(status: dict[str, Any]) -> None:
    """Pods that have not begun or have ended: their address may belong to another pod."""
    assert parse_pod(pod("server", "10.0.0.1", **status)) is None


def test_ipv6_has_a_table_of_its_own() -> None:
    """Pods of both families are in both; blocks and pods are in that of their family only."""
    both = [pod("server", "10.0.0.1", podIPs=[{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], ports={"web": 80})]
    peers = [{"ipBlock": {"cidr": "10.1.0.0/16"}}, {"ipBlock": {"cidr": "fd01::/64", "except": ["fd01::/65"]}}]
    text = rules(policy(ingress=[{"from": peers, "ports": [{"port": "web"}]}]), pods=both)
    ipv4, ipv6 = text.split("table ip6", 1)
    assert "ip saddr { 10.1.0.0/16 } ip daddr . tcp dport { 10.0.0.1 . 80 } return" in ipv4
    assert "ip6 saddr { fd01::8000:0:0:0/65 } ip6 daddr . tcp dport { fd00::1 . 80 } return" in ipv6
    assert "fd0" not in ipv4
    assert "10." not in ipv6
    assert "fd00::1 : jump ingress-" in ipv6
