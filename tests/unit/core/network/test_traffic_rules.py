"""Groups and subnets become the rules of a policy; the agent, private ranges and metadata stay out (§10.1)."""

from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import ValidationError

from kubelambda.api.kinds.security_group import SecurityGroupSpec
from kubelambda.core.network.network_set import missing_addresses, missing_groups, missing_subnets, network_set
from kubelambda.core.network.traffic_rules import PolicyRule, Reach, egress_rules, ingress_rules

METADATA = [ip_network("169.254.0.0/16"), ip_network("100.100.100.200/32"), ip_network("fd00:ec2::/32")]


def egress(*, internet: bool = False, **rule: Any) -> list[PolicyRule]:
    """What a group with one egress rule allows."""
    group = SecurityGroupSpec.model_validate({"egress": [rule]})
    return egress_rules([group], Reach(internet, METADATA))


def ingress(**rule: Any) -> list[PolicyRule]:
    """What a group with one ingress rule allows."""
    return ingress_rules([SecurityGroupSpec.model_validate({"ingress": [rule]})])


def test_a_group_without_rules_allows_nothing() -> None:
    """Closed is closed."""
    assert egress_rules([SecurityGroupSpec()], Reach(internet=True)) == []
    assert ingress_rules([SecurityGroupSpec()]) == []


def test_groups_pods_and_blocks_are_peers() -> None:
    """Of the same namespace, unless namespaces are selected: a label in another one makes nobody a member."""
    found = egress(
        ipProtocol="tcp",
        fromPort=5432,
        toPort=5433,
        to=[
            {"securityGroup": "db"},
            {"podSelector": {"app": "postgres"}},
            {"podSelector": {}, "namespaceSelector": {"team": "data"}},
            {"cidr": "10.1.0.0/16"},
        ],
    )
    assert found == [
        {
            "to": [
                {"podSelector": {"matchLabels": {"security-group.kubelambda.dev/db": ""}}},
                {"podSelector": {"matchLabels": {"app": "postgres"}}},
                {"podSelector": {"matchLabels": {}}, "namespaceSelector": {"matchLabels": {"team": "data"}}},
                {"ipBlock": {"cidr": "10.1.0.0/16"}},
            ],
            "ports": [{"protocol": "TCP", "port": 5432, "endPort": 5433}],
        }
    ]


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "8.8.8.0/24", "::/0", "2001:db8::/32"])
def test_the_internet_needs_a_subnet_that_has_it(cidr: str) -> None:
    """A group alone leads nowhere."""
    assert egress(to=[{"cidr": cidr}]) == []
    assert len(egress(to=[{"cidr": cidr}], internet=True)) == 1


def test_the_internet_is_no_private_range() -> None:
    """Nor the metadata services, in either version of addresses."""
    (four, six) = egress(to=[{"cidr": "0.0.0.0/0"}, {"cidr": "::/0"}], internet=True)[0]["to"]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(four["ipBlock"]["except"])
    assert {"fc00::/7", "fe80::/10", "fd00:ec2::/32"} <= set(six["ipBlock"]["except"])


@pytest.mark.parametrize("cidr", ["169.254.169.254/32", "100.100.100.200/32", "fd00:ec2::254/128"])
def test_no_group_opens_the_metadata_services(cidr: str) -> None:
    """Whatever the subnet has."""
    assert egress(to=[{"cidr": cidr}], internet=True) == []


@pytest.mark.parametrize(
    ("cidr", "kept"),
    [
        ("0.0.0.0/0", ["240.0.0.0/4", "198.18.0.0/15", "169.254.0.0/16"]),
        (
            "::/0",
            ["64:ff9b::a00:0/104", "64:ff9b::a9fe:0/112", "64:ff9b::6464:64c8/128", "64:ff9b:1::/48", "fec0::/10"],
        ),
        ("64:ff9b::/96", ["64:ff9b::a00:0/104", "64:ff9b::a9fe:0/112", "64:ff9b::f000:0/100"]),
    ],
)
def test_a_wide_block_leads_to_no_private_address_by_another_name(cidr: str, kept: list[str]) -> None:
    """Nor to metadata: not by NAT64, nor by ranges that clusters number their pods from."""
    (rule,) = egress(internet=True, to=[{"cidr": cidr}])
    (peer,) = rule["to"]
    assert set(kept) <= set(peer["ipBlock"]["except"])


def test_private_ranges_are_reached_by_name_only() -> None:
    """With what is refused cut out of them."""
    (rule,) = egress(ipProtocol="udp", to=[{"cidr": "100.100.0.0/16"}])
    assert rule == {
        "to": [{"ipBlock": {"cidr": "100.100.0.0/16", "except": ["100.100.100.200/32"]}}],
        "ports": [{"protocol": "UDP"}],
    }


def test_the_agents_port_is_never_opened() -> None:
    """By every protocol and port, by a range around it, or by itself."""
    everything = ingress(**{"from": [{"securityGroup": "app"}]})
    assert everything[0]["ports"] == [
        {"protocol": "UDP", "port": 1, "endPort": 65_535},
        {"protocol": "TCP", "port": 1, "endPort": 9009},
        {"protocol": "TCP", "port": 9011, "endPort": 65_535},
    ]
    around = ingress(ipProtocol="tcp", fromPort=9010, toPort=9011, **{"from": [{"cidr": "10.0.0.0/8"}]})
    assert around[0]["ports"] == [{"protocol": "TCP", "port": 9011}]
    assert ingress(ipProtocol="tcp", fromPort=9010, toPort=9010, **{"from": [{"cidr": "10.0.0.0/8"}]}) == []


def test_rules_that_say_nothing_are_refused() -> None:
    """No peers, and ports that no protocol has."""
    broken: list[dict[str, Any]] = [
        {"to": []},
        {"to": [{"cidr": "10.0.0.0/8"}], "fromPort": 0},
        {"to": [{"cidr": "10.0.0.0/8"}], "ipProtocol": "x"},
        {"to": [{"cidr": "10.0.0.0/33"}]},
    ]
    for rule in broken:
        with pytest.raises(ValidationError):
            SecurityGroupSpec.model_validate({"egress": [rule]})


def test_the_same_names_are_the_same_set() -> None:
    """In any order, and each once; half a vpcConfig is none."""
    one, other = network_set(["b", "a"], ["g"]), network_set(["a", "b", "a"], ["g"])
    assert one is not None
    assert other is not None
    assert one.id == other.id
    assert network_set([], ["g"]) is None


def test_what_is_missing_is_said_in_lambdas_words() -> None:
    """Appendix A."""
    found = network_set(["private-a"], ["app"])
    assert found is not None
    assert missing_subnets(found, {"private-a"}) is None
    assert (missing_subnets(found, set()) or "").endswith("The subnet ID 'private-a' does not exist")
    assert "InvalidGroup.NotFound" in (missing_groups(found, set()) or "")


def test_a_subnet_has_the_addresses_of_its_zones_nodes() -> None:
    """One zone of several is enough, and a subnet of no zone is everywhere."""
    assert missing_addresses({"a", "b"}, {"b"}) is None
    assert missing_addresses({None, "a"}, set()) is None
    told = missing_addresses({"b", "a"}, {"c"}) or ""
    assert told.endswith("no available IP addresses: no node in a, b takes pods")
