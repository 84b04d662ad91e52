"""What is said of subnets and groups."""

from datetime import UTC, datetime
from typing import Any

import pytest

from kubelambda.api.kinds.security_group import SecurityGroupSpec
from kubelambda.core.network.network_use import families_of, part_conditions, unmatched_blocks, unusable_labels

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BOTH: dict[str, Any] = {
    "egress": [{"to": [{"cidr": "10.0.0.0/8"}, {"cidr": "2001:db8::/32"}, {"securityGroup": "db"}]}],
    "ingress": [{"from": [{"cidr": "::/0"}]}],
}


@pytest.mark.parametrize(
    ("families", "unmatched"),
    [
        (("10.244.0.0/24",), ["2001:db8::/32", "::/0"]),
        (("fd00::/64",), ["10.0.0.0/8"]),
        (("10.244.0.0/24", "fd00::/64"), []),
        ((), []),
    ],
)
def test_blocks_of_a_family_that_pods_have_not_match_nothing(families: tuple[str, ...], unmatched: list[str]) -> None:
    """Where nodes do not say which they have, nobody knows."""
    assert unmatched_blocks(SecurityGroupSpec.model_validate(BOTH), families_of(families)) == unmatched


def test_both_are_said_and_nothing_when_there_is_nothing() -> None:
    """Who holds it, and which of its rules are for nothing."""
    found = part_conditions([], ["Function f"], terminating=True, unmatched=["::/0"], now=NOW)
    assert [(each.type, each.status, each.reason) for each in found] == [
        ("DeletionRefused", "True", "InUse"),
        ("AddressesKnown", "False", "NoSuchAddresses"),
    ]
    assert part_conditions(found, ["Function f"], terminating=False, now=NOW) == []


@pytest.mark.parametrize(
    ("selector", "unusable"),
    [
        ({"app": "db", "team.example.com/role": "", "a": "x" * 63}, []),
        ({"app": "no label!"}, ["app=no label!"]),
        ({"": "db"}, ["=db"]),
        ({"app": "x" * 64}, [f"app={'x' * 64}"]),
        ({"UPPER.example/app": "db"}, ["UPPER.example/app=db"]),
        ({"/app": "db"}, ["/app=db"]),
        ({"a/b/c": "db"}, ["a/b/c=db"]),
        ({"app": "-db"}, ["app=-db"]),
    ],
)
def test_labels_that_are_none_are_named(selector: dict[str, str], unusable: list[str]) -> None:
    """Kubernetes refuses the whole policy for one of them."""
    rules = {"egress": [{"to": [{"podSelector": selector}]}], "ingress": [{"from": [{"namespaceSelector": selector}]}]}
    assert unusable_labels(SecurityGroupSpec.model_validate(rules)) == unusable


def test_rules_that_cannot_hold_are_told() -> None:
    """With the label that is to be changed."""
    (found,) = part_conditions([], [], terminating=False, unusable=["app=no label!"], now=NOW)
    assert (found.type, found.status, found.reason) == ("RulesInForce", "False", "InvalidSecurityGroup")
    assert "'app=no label!'" in found.message
